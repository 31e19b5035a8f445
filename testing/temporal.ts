import { TestWorkflowEnvironment } from '@temporalio/testing'
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker'
import { afterAll, beforeAll } from 'vitest'
import type { Activities } from '../protocol/activities.ts'
import { findTemporal } from '../client/server/binary.ts'
import { ensureSearchAttributes } from '../client/search-attributes.ts'
import { cacheDirectory } from '../protocol/directories.ts'
import { timing } from '../workflows/timing.ts'
import { workflowBundlePath } from '../workers/workflow-bundle.ts'

/** One real Temporal server for the tests of a file, in memory, with Rollcall's search attributes. */
export function useTemporal(options: { dynamicConfig?: Readonly<Record<string, string>> } = {}): {
  environment: () => TestWorkflowEnvironment
  worker: (activities: Partial<Activities>, taskQueue?: string) => Promise<Worker>
} {
  let environment: TestWorkflowEnvironment | undefined
  const current = () => {
    if (environment === undefined) throw new Error('The Temporal server of this test file has not been started')
    return environment
  }

  beforeAll(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR') })
    environment = await startServer(options.dynamicConfig ?? {})
    await ensureSearchAttributes(environment.connection, 'default')
  })
  afterAll(() => environment?.teardown())

  return {
    environment: current,
    worker: (activities, taskQueue = 'test') => createWorker(current(), activities, taskQueue),
  }
}

/** A worker with the real workflows and the given activities. */
export async function createWorker(
  environment: TestWorkflowEnvironment,
  activities: Partial<Activities>,
  taskQueue: string,
): Promise<Worker> {
  return await Worker.create({
    connection: environment.nativeConnection,
    taskQueue,
    workflowBundle: { codePath: await workflowBundlePath(cacheDirectory(process.env)) },
    activities,
    maxHeartbeatThrottleInterval: timing.maxHeartbeatThrottleIntervalMs,
    stickyQueueScheduleToStartTimeout: timing.stickyQueueScheduleToStartMs,
  })
}

/** A real Temporal server in memory, with the embedded server's settings. */
export async function startServer(dynamicConfig: Readonly<Record<string, string>>): Promise<TestWorkflowEnvironment> {
  const binary = await findTemporal({
    cacheDirectory: cacheDirectory(process.env),
    env: process.env,
    onProgress: () => {},
  })
  const settings = {
    'history.transferProcessorMaxPollRPS': '2000',
    'history.timerProcessorMaxPollRPS': '2000',
    'system.enableActivityEagerExecution': 'true',
    ...dynamicConfig,
  }
  const extraArgs = Object.entries(settings).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${value}`])
  return await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: binary.path },
      extraArgs,
      log: { format: 'pretty', level: 'error' },
    },
  })
}
