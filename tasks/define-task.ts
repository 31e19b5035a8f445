import type { Turn } from '../agents/agent.ts'
import type { Rewards } from '../protocol/grade.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import type { JudgeDefinition } from './judge.ts'
import type { TaskRow } from './task-row.ts'

/** What a bundle of tasks gets for `import { defineTask } from 'rollcall'`: this file imports nothing at run time. */

/** What a command of a grader came to. */
export interface GraderExecResult {
  /** Absent when the command was killed at its time limit. */
  readonly exitCode?: number
  /** The first and last 64 KiB, as text. */
  readonly stdout: string
  readonly stderr: string
}

/** How a grader’s command runs. */
export interface GraderExecOptions {
  /** Default: the task's working directory. */
  readonly cwd?: string
  /** Default `root`. */
  readonly user?: string
  readonly env?: Readonly<Record<string, string>>
  /** Default: what is left of the check's time. */
  readonly timeoutMs?: number
}

/**
 * What a grader function may look at. Its commands are known by what they are, and by how often that was asked for
 * before: a worker that takes over asks again and gets the same results, so the function has to ask for the same ones.
 */
export interface GraderInput {
  /** Runs a command with sh in the agent's sandbox, after the agent has ended. A failing command is a result. */
  readonly exec: (command: string, options?: GraderExecOptions) => Promise<GraderExecResult>
  /** A file's first MiB as text, or undefined where there is no such file. Relative to the working directory. */
  readonly readFile: (path: string) => Promise<string | undefined>
  /** Every turn of the agent with its results. */
  readonly transcript: readonly Turn[]
  /** The task's `checkEnv`, with values of the host. */
  readonly env: Readonly<Record<string, string>>
  /** Aborts when the check's time is over, or the worker has to let go. */
  readonly signal: AbortSignal
}

/** One number is the reward; a table is rewards by name. */
export type Grader = (input: GraderInput) => Promise<number | Rewards> | number | Rewards

/** What `defineTask` takes: a row of a taskset, or one that is graded by a function. */
export interface TaskDefinition extends Omit<TaskRow, 'runtime' | 'check' | 'judge'> {
  /** Over the taskset's runtime; `null` clears. */
  readonly runtime?: RuntimeConfig
  /** A command whose exit code is the grade; or `grade`. */
  readonly check?: string
  /** A model that grades by criteria; instead of `check` and `grade`. */
  readonly judge?: JudgeDefinition
  /** Runs on a worker, in the grading activity; bundled with everything that its module imports. */
  readonly grade?: Grader
}

const brand: unique symbol = Symbol.for('rollcall.task')

/** What `defineTask` gives, known by its brand among the exports of a module. */
export type DefinedTask = TaskDefinition & { readonly [brand]: true }

/** A task in TypeScript; exported by a module that `rollcall run ./tasks.ts` or `Taskset.from` is given. */
export function defineTask(definition: TaskDefinition): DefinedTask {
  return Object.freeze({ ...definition, [brand]: true as const })
}

/** Tasks are known by a mark, since a bundle has its own copy of this file. */
function isDefinedTask(value: unknown): value is DefinedTask {
  return typeof value === 'object' && value !== null && brand in value
}

/** Every task that a module exports, alone or in lists, in the order of its exports' names. */
export function definedTasks(exports: Readonly<Record<string, unknown>>): DefinedTask[] {
  const found = Object.values(exports).flatMap((value) => (Array.isArray(value) ? value : [value]) as unknown[])
  return [...new Set(found.filter(isDefinedTask))]
}
