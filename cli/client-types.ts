import type { JobEvent, JobStatus } from '../protocol/events.ts'
import type { JobSummary } from '../protocol/grade.ts'
import type { RuntimeOverrides } from '../protocol/job.ts'
import type { RolloutPhase } from '../protocol/names.ts'
import type { Store } from '../store/store.ts'

export type AgentOption = string | { agent: string; args?: Record<string, string>; model?: string; label?: string }

export interface ClientEnvironment {
  env: Record<string, string | undefined>
  stateDirectory: string
  cacheDirectory: string
  storeUrl: string
}

export interface RunOptions {
  agent?: AgentOption | readonly AgentOption[]
  provider?: string | { name: string; options?: Record<string, string> }
  attempts?: number
  concurrency?: number
  job?: string
  runtime?: RuntimeOverrides
  imageMap?: Record<string, string>
  maxTurns?: number
  maxTokens?: number
  agentTimeoutMs?: number
  sandboxLoss?: { policy: 'fail' | 'restart'; maxIncarnations?: number }
  gradingAttempts?: number
  keep?: 'never' | 'on-failure' | 'always'
  worker?: 'own' | 'shared'
  onProgress?: (line: string) => void
  environment?: ClientEnvironment
}

export interface RunningRollout {
  rollout: string
  phase: RolloutPhase
  turn: number
  sinceMs: number
}

export interface Job {
  readonly id: string
  readonly uiUrl: string | undefined
  readonly attached: boolean
  status(): Promise<JobStatus>
  progress(): Promise<{ status: JobStatus; running: RunningRollout[] }>
  events(options?: { after?: string }): AsyncIterable<JobEvent>
  result(): Promise<JobSummary>
  pause(): Promise<void>
  resume(): Promise<void>
  setConcurrency(n: number): Promise<void>
  cancel(): Promise<void>
  store: Store
  close(): Promise<void>
}

export interface ClientModule {
  Taskset: {
    load(
      path: string,
    ): Promise<{ name: string; tasks: readonly { name: string }[]; run(options: RunOptions): Promise<Job> }>
  }
  Job: {
    attach(
      id: string,
      options?: { environment?: ClientEnvironment; worker?: 'own' | 'shared'; onProgress?: (line: string) => void },
    ): Promise<Job>
  }
}

export async function loadClient(): Promise<ClientModule> {
  const path = '../client/index.ts'
  return (await import(path)) as ClientModule
}
