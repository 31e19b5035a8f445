import type { Actor, Failure } from '../protocol/failure.ts'
import type { AgentEnd, Rewards, RolloutState } from '../protocol/grade.ts'
import type { RolloutPhase } from '../protocol/names.ts'

/** What a rollout does or waits for now, or what ended it: `rollcall why`, and with `--json` as it stands here. */
export interface RolloutExplanation {
  /** Workflow id. */
  readonly id: string
  readonly job: string
  readonly rollout: string
  /**
   * `waiting`: it has not begun, or nobody works on it; `lost`: it neither runs nor has a result (terminated, or
   * forgotten by the server).
   */
  readonly state: 'waiting' | 'running' | 'lost' | RolloutState
  readonly phase?: RolloutPhase | 'place'
  /** One sentence without its full stop: what it does or waits for. */
  readonly doing: string
  /** ISO 8601: since when it does that. */
  readonly since?: string
  /** The turn it is in, from 0. */
  readonly turn?: number
  readonly retry?: {
    /** The attempt that runs or is waited for; the first one is 1. */
    readonly attempt: number
    /** Absent when the attempt before it ended without a word: its worker died. */
    readonly failure?: { readonly code?: string; readonly message: string }
    /** ISO 8601; absent while the attempt runs. */
    readonly nextAt?: string
  }
  /** Whose hands it is in, or was last. */
  readonly worker?: { readonly identity: string; readonly host?: string; readonly pid?: number }
  /** The queue on which it waits, where no worker asks for work. */
  readonly unservedQueue?: string
  /** The latest one it has or had. */
  readonly sandbox?: {
    readonly provider: string
    readonly place: string
    readonly name: string
    readonly incarnation: number
  }
  /** Only when it has ended. */
  readonly ended?: {
    /** ISO 8601. */
    readonly at: string
    readonly rewards?: Rewards
    readonly agentEnd?: AgentEnd
    readonly failure?: Failure & { readonly actor: Actor; readonly meaning: string }
    /** Key of the trace in the store. */
    readonly trace: string
  }
}
