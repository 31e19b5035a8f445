/** The contract between Rollcall and whatever decides what to do next. No logic here. */

/** What survives being stored as JSON. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue }

/** One tool call of a turn. */
export interface Call {
  /** A name out of `AgentInput.tools`. */
  readonly tool: string
  readonly args: Readonly<Record<string, JsonValue>>
  /** Milliseconds; default: the runtime's `execTimeoutMs`. Kept in the sandbox, whatever happens to the worker. */
  readonly timeoutMs?: number
  /** The model's own id of the call, handed back with its result. */
  readonly callId?: string
}

/** What one call came to. */
export interface CallResult {
  readonly callId?: string
  readonly tool: string
  /** False for a failing command, a bad argument, a timeout, a lost command or a call that was skipped. */
  readonly ok: boolean
  /** What the agent sees: text, cut in the middle when long. */
  readonly output: string
  /**
   * How it ended. `running`: a command of a session that outlived the call. `skipped`: an earlier call of a stop-on-error
   * batch failed. `invalid`: the arguments were wrong.
   */
  readonly outcome: 'exited' | 'signaled' | 'timed-out' | 'lost' | 'skipped' | 'invalid' | 'running'
  readonly exitCode?: number
  /** Images that belong to the output, in order. */
  readonly images?: readonly ImageReference[]
  /** Only for `submit`. */
  readonly submitted?: true
}

/** An image that is kept apart from the text. */
export interface ImageReference {
  /** Of the store, in a rollout. */
  readonly key: string
  /** `image/png`, `image/jpeg`, `image/gif` or `image/webp`. */
  readonly mediaType: string
  readonly bytes: number
}

/** What a turn has cost, as far as the agent knows. */
export interface Usage {
  readonly inputTokens?: number
  readonly outputTokens?: number
  readonly cachedInputTokens?: number
  /** US dollars, where the agent knows what its requests cost. */
  readonly costUsd?: number
  /** Requests that were sent but whose answer was lost with its worker. */
  readonly unrecordedCalls?: number
}

/** What an agent answers: calls to make, or that it is done. */
export type Decision<State extends JsonValue = JsonValue> = {
  /** What the agent says; kept in the trace. */
  readonly message?: string
  readonly usage?: Usage
  /** Carried to the next turn; small (a few KiB), JSON. */
  readonly state?: State
} & (
  | {
      readonly calls: readonly Call[]
      /** Default `sequence`. */
      readonly mode?: 'sequence' | 'parallel'
      /** In a sequence: skip what follows a call that is not ok. Default false. */
      readonly stopOnError?: boolean
    }
  | { readonly done: true; readonly reason?: string }
)

/** One decision of the agent, and what its calls came to. */
export interface Turn<State extends JsonValue = JsonValue> {
  /** From 0. */
  readonly number: number
  readonly decision: Decision<State>
  readonly results: readonly CallResult[]
}

/** What an agent may know of its task. */
export interface AgentTask {
  readonly name: string
  /** Of a task of several steps: the step's name. Each step is a session of its own, in the same sandbox. */
  readonly step?: string
  readonly instruction: string
  /** Where commands start. */
  readonly workdir: string
  /** The time of the whole agent phase, where it is limited. */
  readonly timeoutMs?: number
  /** Absolute path of a folder in the sandbox with skills, where the task brings one. */
  readonly skillsDirectory?: string
  /** Files of the task that an agent may ask to be uploaded (`solution/solve.sh`); only names. */
  readonly files: readonly string[]
  /** `[solution] env` of the task, without values of the host. */
  readonly solutionEnv: Readonly<Record<string, string>>
  /** Files of the task that may be read on the worker (`solution/turns.yaml`), or undefined where there is none. */
  readText(path: string): Promise<string | undefined>
}

/** A tool as a model is told of it. */
export interface ToolDescription {
  readonly name: string
  readonly description: string
  /** JSON Schema of the arguments. */
  readonly parameters: Record<string, unknown>
}

/** What an agent decides by. */
export interface AgentInput<State extends JsonValue = JsonValue> {
  readonly task: AgentTask
  /** All earlier turns of this phase, complete and in order. */
  readonly transcript: readonly Turn<State>[]
  /** `state` of the latest decision; undefined in the first turn. */
  readonly state: State | undefined
  readonly tools: readonly ToolDescription[]
  /** The bytes of an image of a result; undefined where they are not kept any more. */
  readonly readImage?: (key: string) => Promise<Buffer | undefined>
  /** Aborts on cancellation, on the phase's deadline and when the worker hands over. */
  readonly signal: AbortSignal
}

/** A folder of the task to be put into the sandbox before the first turn. */
export interface Upload {
  /** A folder or file inside the task directory, e.g. `solution`. */
  readonly from: string
  /** Absolute path in the sandbox. */
  readonly to: string
}

/**
 * An agent. Stateless between turns: everything it needs to go on is in `transcript` and `state`, so that any worker
 * can ask for the next turn. `next` may be called again for a turn whose answer was lost with its worker.
 */
export interface Agent<State extends JsonValue = JsonValue> {
  readonly name: string
  readonly version?: string
  /** Why this agent cannot work on this task, one sentence each; asked while the job is planned. */
  check?(task: AgentTask): Promise<readonly string[]>
  /** Called once per rollout, when its sandbox is open. */
  uploads?(task: AgentTask): readonly Upload[]
  /** Stands for the agent of this earlier job, whose stored artifacts are put into the sandbox before the first turn. */
  readonly restores?: string
  /** Its commands get what `[solution] env` takes from the host: for the oracle, and never for agents of others. */
  readonly takesSolutionEnv?: true
  /** Whom `view_image` is refused for, by name: a model that takes no images. */
  readonly blind?: string
  /** A script that installs what the agent needs, run as root before the first turn (see SandboxSpec.layerScript). */
  readonly layerScript?: string
  /** @throws RollcallError `model-unavailable` (asked again later), `model-rejected`, `agent-failed` */
  next(input: AgentInput<State>): Promise<Decision<State>>
}

/** Which agent, as it stands in a job's options; resolved on the worker by `load-agent.ts`. */
export interface AgentSpec {
  /** `stored` is what `rollcall regrade` makes of the others; nobody can ask for it by name. */
  readonly kind: 'oracle' | 'nop' | 'script' | 'command' | 'model' | 'module' | 'stored'
  /** Unique within the job, `[a-z0-9-]`; part of rollout names. */
  readonly label: string
  /** `--agent-arg name=value`. File arguments hold the file's content, read by the client. */
  readonly args: Readonly<Record<string, string>>
  /** `--model openai/gpt-…`. */
  readonly model?: string
  /** Of an agent in TypeScript: store key of the bundle and the export's name. */
  readonly module?: { readonly key: string; readonly exportName: string; readonly source: string }
}
