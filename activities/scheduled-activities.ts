import type { Activities } from '../protocol/activities.ts'
import { judgeScheduledJob } from './judge-scheduled-job.ts'
import { notifyVerdict } from './notify-verdict.ts'
import { prepareScheduledJob } from './prepare-scheduled-job.ts'
import { runWholeActivity } from './run-activity.ts'
import type { ActivityServices } from './services.ts'

type ScheduledActivities = Pick<Activities, 'prepareScheduledJob' | 'judgeScheduledJob' | 'notifyVerdict'>

/** Somebody looks at the schedule the next morning: what can only fail the same way again is tried a few times. */
const prepareAttempts = 3

/** What a schedule does before and after each of its jobs. */
export function scheduledActivities(services: ActivityServices): ScheduledActivities {
  const storeOf = ({ storeUrl }: { storeUrl: string }) => services.openStore(storeUrl)
  return {
    prepareScheduledJob: (input) =>
      runWholeActivity(
        () => prepareScheduledJob(input, { store: storeOf(input), cacheDirectory: services.cacheDirectory }),
        { attempts: prepareAttempts },
      ),
    judgeScheduledJob: (input) => runWholeActivity(() => judgeScheduledJob(input, storeOf(input))),
    notifyVerdict: (input) =>
      runWholeActivity(() =>
        notifyVerdict(input, { store: storeOf(input), secrets: (names) => services.secrets(names) }),
      ),
  }
}
