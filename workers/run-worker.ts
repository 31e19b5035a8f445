import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '@temporalio/client'
import { NativeConnection, Runtime } from '@temporalio/worker'
import { createActivities } from '../activities/create-activities.ts'
import type { ActivityServices } from '../activities/services.ts'
import { loadAgent, loadJudge } from '../agents/load-agent.ts'
import { connectEndpoint, namespaceUuid } from '../client/connect.ts'
import { keepServerUp } from '../client/server/keep-up.ts'
import { isStopped } from '../client/server/server.ts'
import { resolveTemporal } from '../client/temporal-config.ts'
import type { TemporalEndpoint } from '../client/temporal-config.ts'
import type { Placement } from '../protocol/activities.ts'
import { jobTaskQueue, reachTaskQueue, sharedTaskQueue } from '../protocol/names.ts'
import { openStore } from '../store/open-store.ts'
import { timing } from '../workflows/timing.ts'
import type { WorkerConfig } from './config.ts'
import { untilJobIsOver } from './job-watch.ts'
import { poolSlots } from './pool-slots.ts'
import { createProviders, providersHere } from './providers.ts'
import type { Providers } from './providers.ts'
import { reachedProviders } from './reached-providers.ts'
import type { ProviderSettings } from './reached-providers.ts'
import { Room } from './room.ts'
import { closedWorkflows } from './workflow-state.ts'
import { serveProviders } from './serve-providers.ts'
import { ServedQueues } from './served-queues.ts'
import { sweepRegularly } from './sweep-regularly.ts'
import { versions } from './versions.ts'
import { sdkLogger } from './sdk-logger.ts'
import { workflowBundlePath } from './workflow-bundle.ts'

/** After polling has stopped, turns that end by themselves may do so before they are handed over. */
const handoverAfterMs = 200
/** Steps that are not handed over (record, release) get this long after SIGTERM. */
const shutdownGraceMs = 30_000
/** Of each queue. More than sandboxes, so that grading and release never wait behind turns: a busy host is not lost. */
const maxActivities = 500
/** At one place, of jobs that shared workers serve. A job's own worker is bounded by the job's concurrency. */
const defaultSandboxes = 400
/**
 * How many polls are open. One that a suspended or unplugged worker has left open still takes a task, which costs the
 * heartbeat's timeout, so an idle worker keeps one; under load there are as many as bring work.
 */
const pollers = { type: 'autoscaling', minimum: 1, initial: 1, maximum: 20 } as const
const lookAtServerEveryMs = 2_000
/**
 * How long an attachment to a sandbox is kept when nothing uses it: where a job has one worker, until the next step;
 * where any of several may take that, as long as it takes to come to this one.
 */
const attachmentIdleMs = { own: 60_000, shared: 300 }
/** More would be replayed from history when they wake; each costs about half a megabyte. */
const maxCachedWorkflows = 1_000

export interface WorkerOptions extends WorkerConfig {
  /** Serves only this job, and ends with it. Without it: the shared queue, until a signal. */
  readonly job?: string
  /** Shared: the providers to serve. Default: all that can be used here. */
  readonly providerNames?: readonly string[]
  /** Shared: how many sandboxes this worker's place may hold. Default 400. */
  readonly sandboxes?: number
  /** Shared: ends when somebody has stopped the embedded server, as a job's own worker does. Default false. */
  readonly endsWithServer?: boolean
  readonly log: (line: string) => void
  /** Ends the worker like SIGTERM does: polling stops, running turns are handed over, no command is stopped. */
  readonly stop?: AbortSignal
  /** Default: by the URL's scheme. */
  readonly openStore?: ActivityServices['openStore']
  /** Default: every provider of this package. */
  readonly createProviders?: (config: WorkerConfig) => Providers
}

/** Runs a worker until it is told to stop, or its job is over. Started twice, both serve. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  // The process's signals are ours: the SDK's own handling would cancel activities before they can be handed over.
  Runtime.install({ shutdownSignals: [], logger: sdkLogger(options.log) })
  const endpoint = await resolveTemporal({ ...options, onProgress: options.log })
  const connection = await connectWorker(endpoint)
  const providers = (options.createProviders ?? createProviders)(options)
  const ended = new AbortController()
  if (endpoint.embedded) {
    void keepServerUp({ ...options, onProgress: options.log, address: endpoint.address, stop: ended.signal })
  }
  try {
    const client = new Client({ connection, namespace: endpoint.namespace })
    const reached = () => reachedProviders(options.stateDirectory).known()
    void sweepRegularly({ ...options, client, providers, reached, stop: ended.signal })
    await serve({ options, endpoint, connection, client, providers })
  } finally {
    ended.abort()
    await providers.close()
    await connection.close()
  }
}

interface Serving {
  readonly options: WorkerOptions
  readonly endpoint: TemporalEndpoint
  readonly connection: NativeConnection
  readonly client: Client
  readonly providers: Providers
}

async function serve({ options, endpoint, connection, client, providers }: Serving): Promise<void> {
  const handover = new AbortController()
  const reached = reachedProviders(options.stateDirectory)
  const reach = async (settings: ProviderSettings): Promise<Placement> => {
    const place = await (await providers.provider(settings.name, settings.options)).place()
    const queue = reachTaskQueue(settings.name, place)
    await queues.serve(queue)
    await reached.keep(settings)
    return { place, queue }
  }
  const { activities, close } = createActivities(
    await services({ options, client, providers, handover: handover.signal, reach }),
  )
  const queues = new ServedQueues(
    {
      connection,
      namespace: endpoint.namespace,
      activities,
      maxConcurrentActivityTaskExecutions: maxActivities,
      activityTaskPollerBehavior: pollers,
      maxHeartbeatThrottleInterval: timing.maxHeartbeatThrottleIntervalMs,
      shutdownGraceTime: shutdownGraceMs,
    },
    options.log,
  )
  options.log(`worker ${process.pid} on ${endpoint.address}`)
  const over = new AbortController()
  try {
    await queues.serve(options.job === undefined ? sharedTaskQueue : jobTaskQueue(options.job), {
      workflowBundle: { codePath: await workflowBundlePath(options.cacheDirectory) },
      stickyQueueScheduleToStartTimeout: timing.stickyQueueScheduleToStartMs,
      maxCachedWorkflows,
    })
    if (options.job === undefined) {
      const { log, providerNames: names = providersHere } = options
      const serve = (queue: string): Promise<void> => queues.serve(queue)
      await serveProviders({ names, reached: await reached.known(), providers, log, stop: over.signal, serve, reach })
      log('ready')
    }
    await Promise.race([queues.failed, untilOver({ options, endpoint, client, providers })])
  } finally {
    over.abort()
    options.log('shutting down')
    setTimeout(() => handover.abort(), handoverAfterMs)
    await queues.shutdown()
    close()
  }
}

/** Resolves at a stop signal, or when the worker's own job has nothing left. */
function untilOver({ options, endpoint, client, providers }: Omit<Serving, 'connection'>): Promise<void> {
  const { stop = new AbortController().signal, job, log } = options
  const stopped = new Promise<void>((resolve) => {
    if (stop.aborted) resolve()
    stop.addEventListener('abort', () => resolve(), { once: true })
  })
  const isServerStopped = async () => endpoint.embedded && (await isStopped(options.stateDirectory))
  if (job === undefined) {
    return options.endsWithServer ? Promise.race([stopped, untilServerStops(isServerStopped, stop)]) : stopped
  }
  return Promise.race([
    stopped,
    untilJobIsOver({ job, client, providers, storeUrl: options.storeUrl, log, stop, isServerStopped }),
  ])
}

async function untilServerStops(isServerStopped: () => Promise<boolean>, stop: AbortSignal): Promise<void> {
  while (!stop.aborted && !(await isServerStopped())) {
    await delay(lookAtServerEveryMs, undefined, { signal: stop }).catch(() => undefined)
  }
}

async function services(at: {
  options: WorkerOptions
  client: Client
  providers: Providers
  handover: AbortSignal
  reach: ActivityServices['reach']
}): Promise<ActivityServices> {
  const { env, cacheDirectory, sandboxes: limit = defaultSandboxes } = at.options
  const namespace = await namespaceUuid(at.client)
  return {
    openStore: at.options.openStore ?? openStore,
    provider: (name, options) => at.providers.provider(name, options),
    loadAgent: (spec, readBundle) => loadAgent(spec, { env, readBundle, cacheDirectory }),
    loadJudge: (model) => loadJudge(model, { env }),
    secrets: (names) => secretsFrom(env, names),
    namespace,
    room: new Room({ limit, namespace, now: Date.now }),
    reach: at.reach,
    pools: poolSlots(at.client),
    closedWorkflows: (ids) => closedWorkflows(at.client, ids),
    attachmentIdleMs: at.options.job === undefined ? attachmentIdleMs.shared : attachmentIdleMs.own,
    cacheDirectory,
    handover: at.handover,
    versions: await versions(),
  }
}

function secretsFrom(env: WorkerConfig['env'], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

async function connectWorker(endpoint: TemporalEndpoint): Promise<NativeConnection> {
  // A native connection that fails tells neither the setting nor the remedy; a client's does.
  if (!endpoint.embedded) await (await connectEndpoint(endpoint)).close()
  const { address, tls, apiKey, metadata } = endpoint
  return await NativeConnection.connect({
    address,
    ...(tls === undefined ? {} : { tls }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(metadata === undefined ? {} : { metadata }),
  })
}
