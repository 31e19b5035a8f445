import type { AgentTask } from '../agents/agent.ts'
import { rolloutId } from '../protocol/names.ts'
import { uploadTree } from '../runner/files.ts'
import type { Runner } from '../runner/runner.ts'
import { packTree } from '../tasks/task-tree.ts'
import { partFolder } from './agent-task.ts'
import type { RolloutContext } from './job-context.ts'
import { execScope, gradingScope } from './sandbox-name.ts'

export interface UploadsAt {
  readonly runner: Runner
  readonly rollout: Pick<RolloutContext, 'task' | 'agent'>
  readonly agentTask: AgentTask
  /** The first upload's id; the others count up its call. */
  readonly first: { readonly scope: string; readonly phase: number; readonly batch: number; readonly call: number }
  readonly step?: number | undefined
  readonly signal: AbortSignal
}

/** Puts what the agent asks for into the sandbox: the part's own folders, where it has them. By exec ids. */
export function uploadForAgent({ runner, rollout, agentTask, first, step, signal }: UploadsAt): Promise<void>[] {
  const uploads = rollout.agent.uploads?.(agentTask) ?? []
  return uploads.map(async ({ from, to }, index) => {
    const id = { ...first, call: first.call + index, part: 0 }
    const tar = await packTree(rollout.task, partFolder(rollout.task, step, from))
    await uploadTree(runner, { id, tar, directory: to }, { signal })
  })
}

/** Of what is done for the agent: its own commands, and what opens its sandbox before it. */
export function scopeOf(input: { job: string; rollout: string }): string {
  return execScope(rolloutId(input.job, input.rollout))
}

/** Of a phase that no agent is to answer for: what prepares, collects and grades. */
export function phaseScope(input: { job: string; rollout: string; owner: string; phase: number }): string {
  const { job, rollout, owner, phase } = input
  return gradingScope({ rolloutId: rolloutId(job, rollout), owner, phase })
}
