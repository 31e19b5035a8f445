import { createOracleAgent } from '../agents/oracle.ts'
import { loadJudge } from '../agents/load-agent.ts'
import type { Agent } from '../agents/agent.ts'
import type { JobOptions } from '../protocol/job.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { Provider } from '../providers/contract/provider.ts'
import { createFakeProvider } from '../providers/fake/fake-provider.ts'
import { createFileStore } from '../store/file-store.ts'
import { loadTaskset } from '../tasks/load-taskset.ts'
import { uploadTasks } from '../tasks/task-copy.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import type { FixtureFile } from '../tasks/task-fixture.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { JobContext } from './job-context.ts'
import type { ActivityServices } from './services.ts'

/** For tests: a job of one task as a worker sees it, with a store of its own and real, cheap sandboxes. */
export async function jobOfOneTask(
  more: {
    files?: Record<string, FixtureFile>
    options?: Partial<JobOptions>
    agent?: Agent
    secrets?: Readonly<Record<string, string>>
    /** The environment of models that grade. */
    env?: Readonly<Record<string, string>>
  } = {},
): Promise<{ context: JobContext; services: ActivityServices; provider: Provider }> {
  const folder = await temporaryFolder('job')
  const store = createFileStore(`${folder}/store`)
  const { tasks } = await loadTaskset(await writeTask(more.files))
  await uploadTasks(store, tasks)
  const provider = createFakeProvider({ stateDirectory: folder })
  const services: ActivityServices = {
    openStore: () => store,
    provider: async () => provider,
    loadAgent: async () => more.agent ?? createOracleAgent(),
    loadJudge: (model) => loadJudge(model, { env: more.env ?? {} }),
    secrets: (names) => Object.fromEntries(Object.entries(more.secrets ?? {}).filter(([name]) => names.includes(name))),
    namespace: 'test',
    room: { give: async () => {}, taken: () => {} },
    pools: {
      acquire: () => Promise.reject(new Error('No pool runs in this test')),
      release: async () => {},
    },
    closedWorkflows: async () => [],
    reach: async () => ({ place: await provider.place(), queue: 'none' }),
    attachmentIdleMs: 60_000,
    cacheDirectory: `${folder}/cache`,
    handover: new AbortController().signal,
    versions: { rollcall: 'test' },
  }
  const options = jobOptions({
    tasks: tasks.map(({ name, checksum }) => ({ name, checksum })),
    agents: [{ kind: 'oracle', label: 'oracle', args: {} }],
    ...more.options,
  })
  return { context: new JobContext({ job: 'j', store, options, services }), services, provider }
}
