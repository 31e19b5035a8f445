import { createColors } from 'picocolors'
import { escapeControls } from '../../results/terminal-text.ts'

/** One thing that `rollcall doctor` looked at. */
export interface Finding {
  readonly name: string
  /** `note`: worth knowing, nothing is missing. */
  readonly state: 'ok' | 'note' | 'missing'
  /** What is there, or what is wrong. */
  readonly detail: string
  /** What to do about it. */
  readonly remedy?: string
  /** Only this provider needs it. Default: everything does. */
  readonly provider?: ExaminedProvider
}

/** Providers that everybody has or can have. */
const providersHere = ['local', 'docker'] as const

/** Those with an account somewhere: without one, nothing is missing here. */
const clouds = ['modal'] as const

/** Providers that `rollcall doctor` knows. */
export const examinedProviders = [...providersHere, ...clouds] as const
export type ExaminedProvider = (typeof examinedProviders)[number]

/** Whether jobs can run: nothing is missing that all need, and nothing that `provider` (or else any one) needs. */
export function isUsable(findings: readonly Finding[], provider?: ExaminedProvider): boolean {
  const has = (name: Finding['provider'], state: Finding['state']) =>
    findings.some((finding) => finding.state === state && finding.provider === name)
  const isThere = (name: ExaminedProvider) =>
    clouds.some((cloud) => cloud === name) ? has(name, 'ok') : !has(name, 'missing')
  const candidates = provider === undefined ? examinedProviders : [provider]
  return !has(undefined, 'missing') && candidates.some(isThere)
}

export function formatFindings(findings: readonly Finding[], options: { color: boolean }): string {
  const colors = createColors(options.color)
  const marks = { ok: colors.green('ok     '), note: colors.yellow('note   '), missing: colors.red('missing') }
  const nameColumns = Math.max(...findings.map((finding) => finding.name.length))
  const lines = findings.flatMap((finding) => {
    const name = finding.name.padEnd(nameColumns)
    const line = `${marks[finding.state]}  ${name}  ${escapeControls(finding.detail)}`
    const indent = ' '.repeat('missing'.length + 2 + nameColumns + 2)
    return finding.remedy === undefined ? [line] : [line, `${indent}→ ${escapeControls(finding.remedy)}`]
  })
  return [...lines, '', verdict(findings)].join('\n')
}

function verdict(findings: readonly Finding[]): string {
  const usable = examinedProviders.filter((provider) => isUsable(findings, provider))
  if (usable.length === 0) return 'Jobs cannot run here yet.'
  return `Jobs can run here with ${usable.map((provider) => `--provider ${provider}`).join(' and ')}.`
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
