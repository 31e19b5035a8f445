import type { Placement } from '../protocol/activities.ts'
import type { JobOptions } from '../protocol/job.ts'
import type { SlotLease, SlotRequest } from '../protocol/pool.ts'
import type { Agent, AgentSpec } from '../agents/agent.ts'
import type { JudgeModel } from '../agents/judge-model.ts'
import type { Provider } from '../providers/contract/provider.ts'
import type { Store } from '../store/store.ts'

/** Everything the activities need, handed in by the composition root (workers/). */
export interface ActivityServices {
  openStore(url: string): Store
  /** @throws RollcallError `configuration-invalid` for an unknown provider or setting */
  provider(name: string, options: Readonly<Record<string, string>>): Promise<Provider>
  /** @throws RollcallError `agent-invalid`, `configuration-invalid` */
  loadAgent(spec: AgentSpec, readBundle: (key: string) => Promise<Buffer>): Promise<Agent>
  /** A model that grades. @throws RollcallError `configuration-invalid`, `secret-missing` */
  loadJudge(model: string): Promise<JudgeModel>
  /** Values of secrets from the worker's environment; a missing name is absent. */
  secrets(names: readonly string[]): Readonly<Record<string, string>>
  /** How many sandboxes this worker's place may hold, where shared workers serve several jobs. */
  readonly room: {
    /** Sets some aside for a sandbox that is to be made. @throws RollcallError `provider-busy` when there is none */
    give(provider: Provider, sandbox: string): Promise<void>
    taken(sandbox: string): void
  }
  /** Where a provider's sandboxes are; from now on, and after a restart, this worker serves that place's reach queue. */
  reach(provider: JobOptions['provider']): Promise<Placement>
  /** Slots of pools, by workflow id of the pool. */
  readonly pools: {
    /** The same holder gets the same one again. @throws RollcallError `acquire-timeout`, or why none can be made */
    acquire(
      pool: string,
      request: SlotRequest & { readonly timeoutMs: number; readonly signal: AbortSignal },
    ): Promise<SlotLease>
    /** Of a holder whose lease lives as long as a workflow. Twice is fine, and so is a pool that has ended. */
    release(pool: string, at: { holder: string; workflow: string; suspect?: boolean }): Promise<void>
  }
  /** Which of these workflows, described without run id, are closed or unknown to the server. */
  closedWorkflows(ids: readonly string[]): Promise<readonly string[]>
  /** UUID of the Temporal namespace: tells apart the sandboxes of two servers on one Engine. */
  readonly namespace: string
  /**
   * How long an attachment is kept when nothing uses it. While it is kept, another worker that grades the sandbox finds
   * its processes there and cannot tell them from an agent's.
   */
  readonly attachmentIdleMs: number
  /** Folder for what can be made again: unpacked tasks. */
  readonly cacheDirectory: string
  /** Aborts when this worker shuts down: running turns are handed over. */
  readonly handover: AbortSignal
  /** Name and version of what runs, for the lock file. */
  readonly versions: Readonly<Record<string, string>>
}
