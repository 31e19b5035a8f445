import type { CapturedOutput, ExecResult } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { FailureCode } from '../protocol/failure.ts'

/** @throws RollcallError with `code`, and the last line that a fixed command of ours has said, unless it exited with 0 */
export function assertDone({ outcome, stderr }: ExecResult, what: string, code: FailureCode): void {
  if (outcome.type === 'exited' && outcome.code === 0) return
  const how = outcome.type === 'exited' ? `exit code ${outcome.code}` : outcome.type
  throw new RollcallError(code, `${what} ended with ${how}: ${lastLine(stderr)}`)
}

function lastLine(output: CapturedOutput): string {
  const text = (output.truncated ? output.tail : output.head).toString()
  return text.trimEnd().split('\n').at(-1) ?? ''
}
