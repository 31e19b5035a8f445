import type { ExecResult } from '../protocol/exec.ts'

/** The end of what tests printed, so that a failure can be understood where it is shown. */
export function printedBy({ stdout, stderr }: Pick<ExecResult, 'stdout' | 'stderr'>): string {
  const text = [stdout, stderr]
    .map((output) => (output.truncated ? output.tail : output.head).toString())
    .join('\n')
    .trim()
  return text === '' ? '; the tests printed nothing' : `; the tests printed: …${text.slice(-500)}`
}
