import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import type { Integrity } from '../protocol/grade.ts'
import type { AgentSpec } from '../agents/agent.ts'
import type { ClientEnvironment } from './environment.ts'
import type { ProfileSources } from './sandboxes/profiles.ts'

/** An agent by name or file (`./my-agent.ts#export`), or with its settings. */
export type AgentOption =
  | string
  | {
      readonly agent: string
      readonly args?: Readonly<Record<string, string>>
      readonly model?: string
      /** Unique within the job. Default: derived from agent and model. */
      readonly label?: string
    }
  /** As an earlier job had it, its bundle in the store. */
  | { readonly spec: AgentSpec }

/** What `Taskset.run` takes; a job file has the same names. */
export interface RunOptions {
  /** Default `oracle`. */
  readonly agent?: AgentOption | readonly AgentOption[]
  /**
   * Where, by the name of a node (`rollcall nodes`) or by what it must have (`gpus>=1,vram>=40`). Default: the default node,
   * where there is one. Not together with `provider`.
   */
  readonly node?: string
  /** Default `docker`. `runtime`: what its sandboxes are where nobody says otherwise. */
  readonly provider?:
    | string
    | {
        readonly name: string
        readonly options?: Readonly<Record<string, string>>
        readonly runtime?: RuntimeConfig
      }
  /** Files that export tools of your own (`defineTool`); those of an earlier job by their bundles. Default: none. */
  readonly tools?: readonly (string | { readonly key: string; readonly source: string })[]
  /**
   * Sandboxes come out of a pool, which is started if it does not run: `profile` for tasks that name none (absent: only
   * for tasks that do). Image, resources and limits are then the profile's.
   */
  readonly pool?: {
    readonly profile?: string
    /** As `Sandboxes.start` takes them. Default: the environment. */
    readonly profiles?: ProfileSources['profiles']
    /** Keeps pools of the same profile apart. Default `default`. */
    readonly name?: string
  }
  /** Attempts per task and agent. Default 1. */
  readonly attempts?: number
  /** Rollouts at the same time. Default 4. */
  readonly concurrency?: number
  /** Default `<taskset>-<UTC time>-<4 characters>`. The same id with the same options attaches. */
  readonly job?: string
  /** Over the task's own runtime, field by field; `null` clears. */
  readonly runtime?: RuntimeConfig
  /**
   * Variables of the host that tasks may have where they write `${VAR}`; `all`: whatever they ask for. Names are kept,
   * values never are. Default: none, and a task that asks for one is an error.
   */
  readonly allowEnv?: readonly string[] | 'all'
  /** Image names to replace, also in FROM lines. */
  readonly imageMap?: Readonly<Record<string, string>>
  /** Default 200. */
  readonly maxTurns?: number
  /** Input plus output tokens per rollout, where the agent reports usage. Default: no limit. */
  readonly maxTokens?: number
  /** For tasks that state no agent timeout. Default 1 h. */
  readonly agentTimeoutMs?: number
  /**
   * What happens when a sandbox dies, or its host does not answer for `hostLostMs` (shared workers only). Default:
   * `fail`, 3 incarnations, 2 min.
   */
  readonly sandboxLoss?: {
    readonly policy?: 'fail' | 'restart'
    readonly maxIncarnations?: number
    readonly hostLostMs?: number
  }
  /**
   * The weakest integrity class of a grade that counts (`separate`, `non-root`, `clean`, `live`); a weaker one is the
   * failure `integrity-too-weak`. Default: all count.
   */
  readonly requireIntegrity?: Integrity
  /** How often tests without a usable reward are run at most. Default 1, at most 3. */
  readonly gradingAttempts?: number
  /** Of time limits, by phase; a phase without one of its own takes `all`. Default 1. */
  readonly timeoutMultipliers?: {
    readonly all?: number
    readonly agent?: number
    readonly verifier?: number
    /** Of the agent's installation. */
    readonly agentSetup?: number
    /** Of building, making and starting the sandbox. */
    readonly environmentBuild?: number
  }
  /** Builds a task's Dockerfile also where the task names an image. Default false. */
  readonly ignoreDockerImage?: boolean
  /** Default `never`. */
  readonly keep?: 'never' | 'on-failure' | 'always'
  /** `own`: a detached worker for this job, with the caller's environment; `shared`: workers that run already. */
  readonly worker?: 'own' | 'shared'
  readonly onProgress?: (line: string) => void
  /** Default: from the process. */
  readonly environment?: ClientEnvironment
}

/** What `Job.attach` takes. */
export interface AttachOptions extends Pick<RunOptions, 'environment' | 'onProgress' | 'worker'> {}
