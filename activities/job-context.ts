import type { Agent, AgentSpec } from '../agents/agent.ts'
import type { JudgeModel } from '../agents/judge-model.ts'
import type { JobRef, Lease } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions } from '../protocol/job.ts'
import { parseRolloutName } from '../protocol/names.ts'
import type { Provider } from '../providers/contract/provider.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { findJobOptions } from '../results/read-job.ts'
import { jobKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { fetchTask } from '../tasks/task-copy.ts'
import type { Task } from '../tasks/task.ts'
import { loadTools } from '../tools/own-tools.ts'
import type { Tool } from '../tools/tool.ts'
import { hostValues } from './host-values.ts'
import type { HostValues } from './host-values.ts'
import { rolloutSpec } from './rollout-spec.ts'
import type { ActivityServices } from './services.ts'

/** What a rollout's name says, looked up. */
export interface RolloutContext {
  readonly task: Task
  readonly agent: Agent
  readonly agentSpec: AgentSpec
  readonly attempt: number
  readonly spec: SandboxSpec
  readonly host: HostValues
}

/** One job as the activities see it. Everything in it is write-once, so a worker keeps it between activities. */
export class JobContext {
  readonly job: string
  readonly store: Store
  readonly options: JobOptions
  readonly #services: ActivityServices
  readonly #tasks = new Map<string, Promise<Task>>()
  readonly #agents = new Map<string, Promise<Agent>>()
  readonly #tools = new Map<string, Promise<readonly Tool[]>>()

  constructor(at: { job: string; store: Store; options: JobOptions; services: ActivityServices }) {
    this.job = at.job
    this.store = at.store
    this.options = at.options
    this.#services = at.services
  }

  /** Folder for what can be made again: unpacked tasks, bundles. */
  get cacheDirectory(): string {
    return this.#services.cacheDirectory
  }

  provider(): Promise<Provider> {
    return this.#services.provider(this.options.provider.name, this.options.provider.options)
  }

  /** The provider of a sandbox: the job's, or that of the profile of its pool. */
  providerOf({ provider, options }: Pick<Lease, 'provider' | 'options'>): Promise<Provider> {
    return options === undefined ? this.provider() : this.#services.provider(provider, options)
  }

  /** The task as the client uploaded it, unpacked in this worker's cache. */
  task(name: string): Promise<Task> {
    return once(this.#tasks, name, async () => {
      const entry = this.options.tasks.find((task) => task.name === name)
      if (entry === undefined) throw new RollcallError('internal', `Job ${this.job} has no task ${name}`)
      return { ...(await fetchTask(this.store, this.#services.cacheDirectory, entry.checksum)), name }
    })
  }

  agent(label: string): Promise<Agent> {
    return once(this.#agents, label, () => this.#services.loadAgent(this.agentSpec(label), (key) => this.#bundle(key)))
  }

  /** Tools of the job's own. @throws RollcallError `configuration-invalid` */
  tools(): Promise<readonly Tool[]> {
    const from = { readBundle: (key: string) => this.#bundle(key), cacheDirectory: this.cacheDirectory }
    return once(this.#tools, 'tools', async () => {
      const loaded = await Promise.all((this.options.tools ?? []).map((module) => loadTools(module, from)))
      return loaded.flat()
    })
  }

  async #bundle(key: string): Promise<Buffer> {
    const bundle = await this.store.get(key)
    if (bundle === undefined) throw new RollcallError('agent-invalid', `The bundle ${key} is not in the store`)
    return bundle
  }

  judge(model: string): Promise<JudgeModel> {
    return this.#services.loadJudge(model)
  }

  agentSpec(label: string): AgentSpec {
    const spec = this.options.agents.find((agent) => agent.label === label)
    if (spec === undefined) throw new RollcallError('internal', `Job ${this.job} has no agent ${label}`)
    const { model, module, ...rest } = spec
    return { ...rest, ...(model === undefined ? {} : { model }), ...(module === undefined ? {} : { module }) }
  }

  /** @param name `<task>.<agent label>.<attempt>` */
  async rollout(name: string): Promise<RolloutContext> {
    const { task: taskName, agent: label, attempt } = parseRolloutName(name)
    const [task, agent] = await Promise.all([this.task(taskName), this.agent(label)])
    const spec = rolloutSpec({ task, agent, options: this.options })
    const host = hostValues({ spec, options: this.options, services: this.#services })
    return { task, agent, agentSpec: this.agentSpec(label), attempt, spec, host }
  }
}

/** Loads jobs and keeps the latest few. */
export function createJobContexts(services: ActivityServices, keep = 32): (ref: JobRef) => Promise<JobContext> {
  const contexts = new Map<string, Promise<JobContext>>()
  return (ref) => {
    const oldest = contexts.keys().next()
    if (contexts.size > keep && !oldest.done) contexts.delete(oldest.value)
    return once(contexts, `${ref.storeUrl} ${ref.job}`, () => loadJob(services, ref))
  }
}

async function loadJob(services: ActivityServices, ref: JobRef): Promise<JobContext> {
  const store = services.openStore(ref.storeUrl)
  const options = await findJobOptions(store, ref.job)
  if (options === undefined) {
    throw new RollcallError(
      'store-not-shared',
      `This worker finds no ${jobKey(ref.job)} in its store ${ref.storeUrl}: client and workers must use one store`,
    )
  }
  return new JobContext({ job: ref.job, store, options, services })
}

/** One load however many ask; a failed one is forgotten, so that a retry loads again. */
function once<Value>(known: Map<string, Promise<Value>>, key: string, load: () => Promise<Value>): Promise<Value> {
  const found = known.get(key)
  if (found !== undefined) return found
  const loading = load()
  known.set(key, loading)
  loading.catch(() => known.delete(key))
  return loading
}
