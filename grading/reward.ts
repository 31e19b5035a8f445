import { RollcallError } from '../protocol/failure.ts'
import type { Rewards } from '../protocol/grade.ts'

/** Prints the name of the reward file that counts on a first line, then its bytes; `reward.json` beats `reward.txt`. */
export const readRewardScript = `
for name in reward.json reward.txt; do
  file=/logs/verifier/$name
  if [ -L "$file" ] || { [ -e "$file" ] && [ ! -f "$file" ]; }; then
    printf '%s:irregular\\n' "$name"
    exit 0
  fi
  if [ -f "$file" ]; then
    printf '%s\\n' "$name"
    head -c 65537 "$file"
    exit 0
  fi
done
printf 'missing\\n'
`

const maxRewardBytes = 65_536

/** The reward file that was printed, when it is a regular one. */
export function rewardFile(printed: Buffer): { name: 'reward.json' | 'reward.txt'; content: Buffer } | undefined {
  const lineEnd = printed.indexOf('\n')
  const name = printed.subarray(0, lineEnd).toString()
  if (name !== 'reward.json' && name !== 'reward.txt') return undefined
  return { name, content: printed.subarray(lineEnd + 1) }
}

/**
 * Rewards out of what `readRewardScript` printed. Format: Harbor's (`reward.json`: a flat object of numbers;
 * `reward.txt`: one number, the reward named `reward`).
 * @throws RollcallError `reward-missing`, `reward-invalid`: never a reward of 0
 */
export function parseReward(printed: Buffer): Rewards {
  const lineEnd = printed.indexOf('\n')
  const name = printed.subarray(0, lineEnd).toString()
  const content = printed.subarray(lineEnd + 1)
  if (name === 'missing') {
    throw new RollcallError(
      'reward-missing',
      'The tests wrote neither /logs/verifier/reward.json nor /logs/verifier/reward.txt',
    )
  }
  if (name.endsWith(':irregular')) throw invalid(name.replace(':irregular', ''), 'is not a regular file')
  if (content.length > maxRewardBytes) throw invalid(name, `is larger than ${maxRewardBytes} bytes`)
  const text = content.toString().trim()
  if (text === '') throw invalid(name, 'is empty')
  return name === 'reward.json' ? parseRewardJson(text) : { reward: finite(name, Number(text), text) }
}

function parseRewardJson(text: string): Rewards {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw invalid('reward.json', `is not JSON: ${shortened(text)}`)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalid('reward.json', `is ${shortened(text)}: expected a flat object of numbers`)
  }
  const entries = Object.entries(parsed)
  if (entries.length === 0) throw invalid('reward.json', 'holds no reward')
  return Object.fromEntries(
    entries.map(([key, value]) => [key, finite(`reward.json: ${key}`, value, JSON.stringify(value))]),
  )
}

function finite(where: string, value: unknown, shown: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw invalid(where, `is ${shortened(shown)}: expected a finite number`)
}

function invalid(where: string, what: string): RollcallError {
  return new RollcallError('reward-invalid', `/logs/verifier/${where} ${what}`)
}

function shortened(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e]+/g, ' ')
  return printable.length > 80 ? `${printable.slice(0, 80)}…` : printable
}
