import { RollcallError } from '../protocol/failure.ts'

/** Values of options. Each throws one sentence with the option, the value and what was expected. */

/** `--name is "value": expected …`, exit code 2. */
export function badOption(option: string, value: string, expected: string): RollcallError {
  return new RollcallError('configuration-invalid', `${option} is ${JSON.stringify(value)}: expected ${expected}`)
}

export function parseCount(option: string, value: string, range: { min?: number; max?: number } = {}): number {
  const { min = 1, max } = range
  const count = /^\d+$/.test(value) ? Number(value) : NaN
  if (count >= min && count <= (max ?? Number.MAX_SAFE_INTEGER)) return count
  const bounds = max === undefined ? `of at least ${min}` : `from ${min} to ${max}`
  throw badOption(option, value, `a whole number ${bounds}`)
}

/** Any finite number: rewards have no scale of their own. */
export function parseReward(option: string, value: string): number {
  const reward = value.trim() === '' ? Number.NaN : Number(value)
  if (Number.isFinite(reward)) return reward
  throw badOption(option, value, 'a number, for instance 0.9')
}

export function parseCpus(option: string, value: string): number {
  const cpus = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0
  if (cpus > 0) return cpus
  throw badOption(option, value, 'a number of CPUs above 0, for instance 2 or 0.5')
}

/** From 0 to 1. */
export function parseShare(option: string, value: string): number {
  const share = value.trim() === '' ? NaN : Number(value)
  if (share >= 0 && share <= 1) return share
  throw badOption(option, value, 'a share from 0 to 1, for instance 0.1')
}

/** A factor, for instance 2 or 0.5. */
export function parseMultiplier(option: string, value: string): number {
  const factor = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0
  if (factor > 0 && factor <= 1_000) return factor
  throw badOption(option, value, 'a number above 0 and at most 1000, for instance 2 or 0.5')
}

const mebibytes: Readonly<Record<string, number>> = { k: 1 / 1024, m: 1, g: 1024, t: 1024 * 1024 }

/** `512M`, `2G`, `1.5GiB`; a bare number counts MiB. */
export function parseMemoryMiB(option: string, value: string): number {
  const [, amount, unit = 'm'] = /^(\d+(?:\.\d+)?)([kmgt])?(?:i?b)?$/i.exec(value) ?? []
  const size = amount === undefined ? 0 : Math.round(Number(amount) * (mebibytes[unit.toLowerCase()] ?? 0))
  if (size >= 1) return size
  throw badOption(option, value, 'a size of at least 1 MiB, for instance 512M or 2G')
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90`, `90s`, `15m`, `1h30m`; a bare number counts seconds. */
export function parseDurationMs(option: string, value: string): number {
  const text = /^\d+(\.\d+)?$/.test(value) ? `${value}s` : value
  const isDuration = /^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)
  const parts = isDuration ? [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)] : []
  const sumMs = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? 0), 0)
  if (Math.round(sumMs) >= 1) return Math.round(sumMs)
  throw badOption(option, value, 'a duration above 0, for instance 90s, 15m or 1h30m (a bare number counts seconds)')
}

export function parseChoice<Choice extends string>(option: string, value: string, choices: readonly Choice[]): Choice {
  const found = choices.find((choice) => choice === value)
  if (found !== undefined) return found
  throw badOption(option, value, `one of ${choices.join(', ')}`)
}

/** `key=value` options given any number of times; the value may be empty and may hold `=`. */
export function parsePairs(option: string, pairs: readonly string[], form = 'KEY=VALUE'): Record<string, string> {
  const record: Record<string, string> = {}
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at < 1) throw badOption(option, pair, form)
    const key = pair.slice(0, at)
    if (Object.hasOwn(record, key)) throw badOption(option, pair, `${key} only once: it is given twice`)
    record[key] = pair.slice(at + 1)
  }
  return record
}
