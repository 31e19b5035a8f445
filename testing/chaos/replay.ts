import { Worker } from '@temporalio/worker'
import { connectTemporal } from '../../client/connect.ts'
import type { ClientEnvironment } from '../../client/index.ts'
import { workflowBundlePath } from '../../workers/workflow-bundle.ts'

export interface WorkflowRun {
  readonly workflowId: string
  readonly runId: string
  readonly status: string
}

/** Looks at a site's server while `use` runs. */
export async function withServer<Result>(
  environment: ClientEnvironment,
  use: (server: {
    list: (query: string) => Promise<WorkflowRun[]>
    /** Replays the history with today's workflows. @returns what went wrong */
    replay: (run: WorkflowRun) => Promise<string | undefined>
  }) => Promise<Result>,
): Promise<Result> {
  const temporal = await connectTemporal({ ...environment, onProgress: () => {} })
  const { workflow } = temporal.client
  const codePath = await workflowBundlePath(environment.cacheDirectory)
  try {
    return await use({
      list: async (query) => {
        const runs: WorkflowRun[] = []
        for await (const { workflowId, runId, status } of workflow.list({ query })) {
          runs.push({ workflowId, runId, status: status.name })
        }
        return runs
      },
      replay: async ({ workflowId, runId }) => {
        const history = await workflow.getHandle(workflowId, runId).fetchHistory()
        return await Worker.runReplayHistory({ workflowBundle: { codePath } }, history, workflowId).then(
          () => undefined,
          (error: unknown) => `the history of ${workflowId} does not replay: ${String(error)}`,
        )
      },
    })
  } finally {
    await temporal.close()
  }
}
