import type { RolloutResult } from '../../protocol/grade.ts'
import { jobOptions } from '../../protocol/job-options-fixture.ts'
import { gradeKey, jobKey, lockKey, planKey, resultKey, summaryKey, traceKey } from '../../store/keys.ts'
import type { StoredGrade } from '../../store/records.ts'
import type { Store } from '../../store/store.ts'
import { putJsonOnce } from '../../store/stored-json.ts'
import { summarizeResults } from '../summary.ts'
import { traceText } from '../trace.ts'
import type { TraceLine } from '../trace.ts'

export interface FixtureRollout {
  readonly result: RolloutResult
  readonly trace: readonly TraceLine[]
  /** What a grading attempt of phase 2 in the first sandbox found beyond its line in the trace. */
  readonly grade?: StoredGrade
}

/** A job `j` as its activities would have stored it. */
export async function storeFixtureJob(
  store: Store,
  rollouts: readonly FixtureRollout[],
  options: { finished?: boolean; tags?: Record<string, string[]> } = {},
): Promise<void> {
  const results = rollouts.map(({ result }) => result)
  const names = [...new Set(results.map(({ task }) => task))]
  const labels = [...new Set(results.map(({ agent }) => agent))]
  const tasks = names.map((name) => ({ name, checksum: 'c0ffee' }))
  const agents = labels.map((label) => ({ kind: 'nop' as const, label, args: {} }))
  await putJsonOnce(store, jobKey('j'), jobOptions({ tasks, agents }))
  const planned = results.map(({ name, task, agent, attempt }) => ({ name, task, agent, attempt }))
  await putJsonOnce(store, planKey('j'), { rollouts: planned, policy: {}, tags: options.tags ?? {} })
  for (const { result, trace, grade } of rollouts) {
    await store.putOnce(traceKey('j', result.name), Buffer.from([...traceText(trace)].join('')))
    const at = { job: 'j', rollout: result.name, incarnation: 1, phase: 2 }
    if (grade !== undefined) await putJsonOnce(store, gradeKey(at), grade)
    await putJsonOnce(store, resultKey('j', result.name), result)
  }
  if (options.finished === false) return
  await putJsonOnce(store, lockKey('j'), { version: 1 })
  await putJsonOnce(store, summaryKey('j'), summarizeResults({ job: 'j', results, planned, tags: options.tags ?? {} }))
}

const moment = { incarnation: 1, phase: 1 }

/** A turn with one command. */
export function turnLines(turn: number, command: string, output: string): TraceLine[] {
  const exec = { batch: turn, call: 0, part: 0, command, outcome: { type: 'exited' as const, code: 0 } }
  const times = { startedAt: '2026-01-02T03:04:05.000Z', durationMs: 1200 }
  return [
    { type: 'turn', ...moment, turn, message: `Turn number ${turn}`, calls: 1, done: false },
    {
      type: 'exec',
      id: `i1-1-${turn}-0-0`,
      ...moment,
      ...exec,
      ...times,
      stdoutBytes: 5,
      stderrBytes: 0,
      truncated: false,
    },
    {
      type: 'call',
      ...moment,
      turn,
      call: 0,
      args: { command },
      tool: 'bash',
      ok: true,
      outcome: 'exited',
      exitCode: 0,
      output,
    },
  ]
}

export function gradeLine(reward: number): TraceLine {
  return { type: 'grade', incarnation: 1, phase: 2, rewards: { reward }, integrity: 'clean' }
}

/** The tests of a grading attempt, whose output is an object of the store. */
export function testsLine(stdoutKey: string, stdoutBytes: number): TraceLine {
  const place = { incarnation: 1, phase: 2, batch: 0, call: 3, part: 0, outcome: { type: 'exited' as const, code: 1 } }
  const times = { startedAt: '2026-01-02T03:04:08.000Z', durationMs: 30 }
  return {
    type: 'exec',
    id: 'i1-2-0-3-0',
    command: '/tests/test.sh',
    ...place,
    ...times,
    stdoutBytes,
    stderrBytes: 0,
    truncated: true,
    stdoutKey,
  }
}
