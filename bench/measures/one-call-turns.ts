import { answerKey } from '../../store/keys.ts'
import type { StoredAnswer } from '../../store/records.ts'
import type { Bench } from '../bench.ts'
import { writeOneCallTurns } from '../bench-tasks.ts'
import type { Measure } from '../measure.ts'
import { spread } from '../statistics.ts'
import { phaseMs, timedJob } from '../timed-job.ts'
import type { TimedJob } from '../timed-job.ts'
import { withWarmWorker } from '../warm-worker.ts'

const turns = 40
const singleTurnRollouts = 4
/** The script's last answer, "done", is stored like the others. */
const answers = turns + 1

/**
 * A turn of one call, end to end: the agent is asked, its answer stored, the call made, its output and its result
 * stored. Fast turns share an activity; the turn of a slow model has one of its own, which the second row adds.
 */
export const oneCallTurnsMeasure: Measure = {
  name: 'one-call-turns',
  describes: 'a `bash` call as the only call of a turn, end to end with Temporal, on a warm worker',
  run: (bench) =>
    withWarmWorker(bench, async () => {
      await scripted(bench, { turns: 2, attempts: 2 })
      const many = await scripted(bench, { turns, attempts: bench.runs })
      const single = await scripted(bench, { turns: 1, attempts: singleTurnRollouts * bench.runs })
      const perTurn = many.results.map((result) => phaseMs(result, 'turns') / turns)
      return [
        {
          what: `turn of one \`bash\` call, ${turns} in a rollout, Docker (turns phase ÷ ${turns})`,
          unit: 'ms',
          ...spread(perTurn),
          goal: { atMost: 25 },
        },
        { what: 'from one turn’s question to the next', unit: 'ms', ...spread(await betweenQuestions(many)) },
        {
          what: 'turn of one `bash` call with an activity of its own (turns phase of one turn)',
          unit: 'ms',
          ...spread(single.results.map((result) => phaseMs(result, 'turns'))),
          goal: { atMost: 25 },
        },
      ]
    }),
}

async function scripted(bench: Bench, size: { turns: number; attempts: number }): Promise<TimedJob> {
  return await timedJob(bench, bench.tasks.trivial, {
    provider: 'docker',
    agent: { agent: 'script', args: { file: await writeOneCallTurns(bench.home, size.turns) } },
    attempts: size.attempts,
    concurrency: 1,
  })
}

async function betweenQuestions({ job, store, results }: TimedJob): Promise<number[]> {
  const gaps: number[] = []
  for (const { name } of results) {
    const askedAt: number[] = []
    for (let turn = 0; turn < answers; turn += 1) {
      const bytes = await store.get(answerKey({ job, rollout: name, incarnation: 1, phase: 1, turn }))
      if (bytes === undefined) throw new Error(`${name} has no answer of turn ${turn}`)
      const { startedAt }: StoredAnswer = JSON.parse(bytes.toString())
      askedAt.push(Date.parse(startedAt))
    }
    gaps.push(...askedAt.slice(1).map((at, index) => at - (askedAt[index] ?? at)))
  }
  return gaps
}
