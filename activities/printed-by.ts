import { parseReward } from '../grading/reward.ts'
import type { ExecResult } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { Rewards } from '../protocol/grade.ts'

/** The end of what tests printed, so that a failure can be understood where it is shown. */
export function printedBy({ stdout, stderr }: Pick<ExecResult, 'stdout' | 'stderr'>): string {
  const text = [stdout, stderr]
    .map((output) => (output.truncated ? output.tail : output.head).toString())
    .join('\n')
    .trim()
  return text === '' ? '; the tests printed nothing' : `; the tests printed: …${text.slice(-500)}`
}

/** @param printed what `readRewardScript` printed. @throws RollcallError as `parseReward`, with what the tests printed */
export function parsePrintedReward(printed: Buffer, tests: ExecResult): Rewards {
  try {
    return parseReward(printed)
  } catch (error) {
    if (!(error instanceof RollcallError)) throw error
    throw new RollcallError(error.code, `${error.message}${printedBy(tests)}`, { cause: error })
  }
}
