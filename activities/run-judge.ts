import { setTimeout as delay } from 'node:timers/promises'
import type { Turn } from '../agents/agent.ts'
import type { JudgeAnswer, JudgeModel, JudgeQuestion } from '../agents/judge-model.ts'
import { judgeQuestion } from '../grading/judge-question.ts'
import type { ShownFile } from '../grading/judge-question.ts'
import { judgeRewards, parseVerdict } from '../grading/judge-verdict.ts'
import type { CriterionVerdict } from '../grading/judge-verdict.ts'
import type { ModelWait } from '../protocol/activity-note.ts'
import type { ExecId } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import { longestTimerMs } from '../protocol/longest-timer.ts'
import type { Rewards } from '../protocol/grade.ts'
import { readFile } from '../runner/files.ts'
import type { Runner } from '../runner/runner.ts'
import type { JudgeEvidence } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import type { TaskJudge } from '../tasks/judge.ts'

/** An answer that is no verdict is kept, and the model is asked anew, so often in one grading attempt. */
const mostAnswers = 3
const fileBytes = 64 * 1024

/** First wait after the model's service failed; doubles up to `maxWaitMs`, unless the service says how long. */
const firstWaitMs = 1_000
const maxWaitMs = 60_000

export interface JudgeRun {
  readonly judge: TaskJudge
  readonly model: JudgeModel
  readonly store: Store
  /** Store key of one of the attempt's files. */
  readonly keyOf: (name: string) => string
  readonly runner: Runner
  /** The id of the n-th file's reading. */
  readonly idOf: (file: number) => ExecId
  readonly workdir: string
  readonly instruction: string
  readonly turns: () => Promise<readonly Turn[]>
  readonly mark: string
  /** What is stored holds no values of secrets. */
  readonly mask: <Value>(value: Value) => Value
  /** Of the whole attempt, from when it was first begun by whichever worker. */
  readonly timeoutMs: number
  /** Aborts when this worker has to let go. */
  readonly signal: AbortSignal
  /** What is waited for, from now on; undefined: for nothing any more. */
  readonly onWait?: (wait: ModelWait | undefined) => void
  /** First wait for a model that does not answer. Default 1 s. */
  readonly firstWaitMs?: number
}

/** `judge-question.json` */
interface StoredQuestion extends JudgeQuestion {
  readonly model: string
  /** ISO 8601. */
  readonly askedAt: string
}

/**
 * Grades by asking a model about each criterion. Safe to run twice: the question is `putOnce` before it is asked, and
 * each answer before it is used, so that a recorded answer is never asked for again; one that was lost with its worker
 * is asked for again and counted.
 * @throws RollcallError `grader-failed` when no answer is a verdict, or the sandbox does not say what a file holds;
 *   `model-rejected`. A model that does not answer in time is `model-unavailable`, which is not tried again.
 */
export async function runJudge(run: JudgeRun): Promise<{ rewards: Rewards; evidence: JudgeEvidence }> {
  const key = run.keyOf('judge-question.json')
  const known = await getJson<StoredQuestion>(run.store, key)
  const question = known ?? (await putJsonOnce<StoredQuestion>(run.store, key, run.mask(await newQuestion(run))))
  const asking = new Asking(run, question, known !== undefined)
  const criteria = await asking.verdict()
  return { rewards: judgeRewards(criteria), evidence: { model: run.judge.model, criteria, ...asking.counts } }
}

async function newQuestion(run: JudgeRun): Promise<StoredQuestion> {
  const { judge, instruction, mark } = run
  const files = await Promise.all(judge.files.map((path, index) => readShown(run, path, index)))
  const material = { instruction, turns: await run.turns(), files, mark }
  return { ...judgeQuestion(judge, material), model: judge.model, askedAt: new Date().toISOString() }
}

/** Links are not followed: through one the agent would show as its own what is not. */
async function readShown(run: JudgeRun, path: string, index: number): Promise<ShownFile> {
  const { runner, workdir, signal } = run
  const file = { id: run.idOf(index), path, maxBytes: fileBytes, followLinks: false, cwd: workdir, user: 'root' }
  const read = await readFile(runner, file, { signal })
  switch (read.type) {
    case 'read':
      return { path, content: `${read.content.toString()}${read.truncated ? '\n[… the rest is left out]' : ''}` }
    case 'failed':
      throw new RollcallError('grader-failed', `What file ${path} holds is unknown (${read.result.outcome.type})`)
    default:
      return { path, problem: read.type }
  }
}

/** The answers of one attempt, one after the other, until one is a verdict. */
class Asking {
  readonly #run: JudgeRun
  readonly #question: StoredQuestion
  readonly #deadline: number
  /** An attempt of this activity before may have died with an answer. */
  #mayHaveAsked: boolean
  #answers = 0
  readonly #usage: Record<string, number> = {}

  constructor(run: JudgeRun, question: StoredQuestion, isRetry: boolean) {
    this.#run = run
    this.#question = question
    this.#deadline = Date.parse(question.askedAt) + run.timeoutMs
    this.#mayHaveAsked = isRetry
  }

  get counts(): Pick<JudgeEvidence, 'answers' | 'usage'> {
    return { answers: this.#answers, usage: this.#usage }
  }

  async verdict(): Promise<readonly CriterionVerdict[]> {
    const { judge } = this.#run
    let problem = ''
    while (this.#answers < mostAnswers) {
      const answer = await this.#answer()
      const parsed = parseVerdict(answer.text, judge.criteria)
      if ('criteria' in parsed) return parsed.criteria
      ;({ problem } = parsed)
    }
    throw new RollcallError(
      'grader-failed',
      `Judge ${judge.model} gave no verdict in ${mostAnswers} answers; the last: ${problem}`,
    )
  }

  async #answer(): Promise<JudgeAnswer> {
    const { store, keyOf, mask } = this.#run
    const key = keyOf(`judge-answer-${this.#answers + 1}.json`)
    const stored = await getJson<JudgeAnswer>(store, key)
    const answer = stored ?? (await putJsonOnce(store, key, mask(await this.#askAndCount())))
    this.#answers += 1
    for (const [name, count] of Object.entries(answer.usage)) {
      if (typeof count === 'number') this.#usage[name] = (this.#usage[name] ?? 0) + count
    }
    return answer
  }

  /** What was lost is stored with the answer, so that whoever reads that knows. */
  async #askAndCount(): Promise<JudgeAnswer> {
    const lost = this.#mayHaveAsked ? { unrecordedCalls: 1 } : {}
    this.#mayHaveAsked = false
    const answer = await this.#ask()
    return { ...answer, usage: { ...answer.usage, ...lost } }
  }

  /** Until there is an answer, or the grading's time is over. */
  async #ask(): Promise<JudgeAnswer> {
    const { model, signal, onWait = () => {}, firstWaitMs: first = firstWaitMs } = this.#run
    for (let waits = 0; ; waits += 1) {
      const late = AbortSignal.timeout(Math.min(longestTimerMs, Math.max(0, this.#deadline - Date.now())))
      const either = AbortSignal.any([signal, late])
      try {
        const answer = await model.ask(this.#question, either)
        onWait(undefined)
        return answer
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (late.aborted) throw this.#tooLate()
        if (!(error instanceof RollcallError) || error.code !== 'model-unavailable') throw error
        const waitMs = error.retryAfterMs ?? Math.min(maxWaitMs, first * 2 ** waits)
        if (Date.now() + waitMs >= this.#deadline) throw final(error)
        const { code, message } = error
        onWait({ attempt: waits + 2, failure: { code, message }, atMs: Date.now() + waitMs })
        await delay(Math.min(longestTimerMs, waitMs), undefined, { signal })
      }
    }
  }

  /** The grading's time is over for every worker. */
  #tooLate(): RollcallError {
    const { judge, timeoutMs } = this.#run
    const message = `Judge ${judge.model} did not answer within the grading's ${timeoutMs} ms`
    return new RollcallError('model-unavailable', message, { isFinal: true })
  }
}

/** Another attempt of this activity would find the grading's time over just the same. */
function final(error: RollcallError): RollcallError {
  return new RollcallError(error.code, error.message, { cause: error, isFinal: true })
}
