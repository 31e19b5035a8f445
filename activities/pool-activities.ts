import type { Activities } from '../protocol/activities.ts'
import { checkPool, openPoolSandbox, placePoolSandbox, removePoolSandbox } from './pool-sandboxes.ts'
import { resetSlots } from './reset-slots.ts'
import { runMakingActivity, runWholeActivity } from './run-activity.ts'
import { SandboxAttachments } from './sandboxes.ts'
import type { ActivityServices } from './services.ts'

/** Slots of one sandbox are reset again and again; opening an attachment costs as much as ten resets. */
const attachmentIdleMs = 60_000

type PoolActivities = Pick<
  Activities,
  'placePoolSandbox' | 'openPoolSandbox' | 'resetSlots' | 'checkPool' | 'removePoolSandbox' | 'findClosedWorkflows'
>

/** What pools ask of workers. `close` lets go of sandboxes and touches none. */
export function poolActivities(services: ActivityServices): { activities: PoolActivities; close: () => void } {
  const attachments = new SandboxAttachments(attachmentIdleMs)
  const at = { services, attachments }
  const activities: PoolActivities = {
    placePoolSandbox: (input) => runWholeActivity(() => placePoolSandbox(input, at)),

    openPoolSandbox: (input) =>
      runMakingActivity(services.handover, ({ signal, note }) => {
        const onProgress = (line: string): void => note({ execs: [], line })
        return openPoolSandbox(input, { ...at, signal, onProgress })
      }),

    resetSlots: (input) => runWholeActivity(({ signal }) => resetSlots(input, { ...at, signal })),

    checkPool: (input) => runWholeActivity(() => checkPool(input, at)),

    removePoolSandbox: (input) => runWholeActivity(() => removePoolSandbox(input, at)),

    findClosedWorkflows: ({ workflows }) => runWholeActivity(() => services.closedWorkflows(workflows)),
  }
  return { activities, close: () => attachments.close() }
}
