import type { JobProgress, RunningRollout } from '../client/index.ts'
import { escapeControls } from '../results/terminal-text.ts'

/** Says once for every reason why steps are tried again, so that nobody waits without knowing why. */
export class RetryNotices {
  readonly #said = new Set<string>()

  /** @returns a line for each reason that is new */
  lines({ running }: Pick<JobProgress, 'running'>): string[] {
    const byReason = Map.groupBy(running, ({ retried }) => retried?.message)
    return [...byReason].flatMap(([reason, rollouts]) => {
      if (reason === undefined || this.#said.has(reason)) return []
      this.#said.add(reason)
      return [`${subject(rollouts)} tried again after: ${escapeControls(reason)}`]
    })
  }
}

function subject(rollouts: readonly RunningRollout[]): string {
  const first = escapeControls(rollouts[0]?.rollout ?? '')
  return rollouts.length === 1 ? `${first} is` : `${first} and ${rollouts.length - 1} more are`
}
