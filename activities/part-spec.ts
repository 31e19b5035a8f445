import type { JobOptions } from '../protocol/job.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import type { TaskPart } from '../tasks/task-parts.ts'
import type { Task } from '../tasks/task.ts'
import { resolveSpec } from './resolve-spec.ts'

/** Who runs the agent's commands in a part: the job's user, else the step's own, else the sandbox's. */
export function agentUser(at: {
  part: Pick<TaskPart, 'agent'>
  spec: Pick<SandboxSpec, 'user'>
  options: Pick<JobOptions, 'runtime'>
}) {
  return at.options.runtime.user === undefined ? (at.part.agent.user ?? at.spec.user) : at.spec.user
}

/** Who runs the tests of a part. */
export function verifierUser(part: Pick<TaskPart, 'verifier'>): string {
  return part.verifier.user ?? 'root'
}

/**
 * The order for the sandbox of a separate verifier. The job's overrides count for it too, except those that are about
 * the agent: image, user and working directory; and mounts, through which it could reach the tests.
 * @returns undefined where the verifier shares the agent's sandbox
 */
export function verifierSpec(at: { task: Task; part: TaskPart; options: JobOptions }): SandboxSpec | undefined {
  const { runtime } = at.part.verifier
  if (runtime === undefined) return undefined
  const { image: _image, user: _user, workdir: _workdir, mounts: _mounts, ...overrides } = at.options.runtime
  const { ownRuntime: _ownRuntime, ...task } = { ...at.task, runtime, agent: {} }
  return resolveSpec({ task, agent: {}, options: { ...at.options, runtime: overrides } })
}
