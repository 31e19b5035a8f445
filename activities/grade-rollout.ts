import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { freshDirectoriesScript, freshLogsScript } from '../grading/fresh-directories.ts'
import { integrityFailure } from '../grading/required-integrity.ts'
import { readRewardScript, rewardFile } from '../grading/reward.ts'
import type { GradeInput, GradeResult } from '../protocol/activities.ts'
import { gradingCalls } from '../protocol/exec.ts'
import type { ExecId, ExecResult } from '../protocol/exec.ts'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import type { Failure } from '../protocol/failure.ts'
import type { Integrity, Rewards } from '../protocol/grade.ts'
import { rolloutId } from '../protocol/names.ts'
import type { Capabilities, SystemPicture } from '../providers/contract/provider.ts'
import { uploadTree } from '../runner/files.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import { gradeFileKey, gradeKey, openedKey, verifierOpenedKey } from '../store/keys.ts'
import { partOf, testFolders } from '../tasks/task-parts.ts'
import { packTree } from '../tasks/task-tree.ts'
import { agentIsBound } from './agent-freedom.ts'
import { assertDone } from './assert-done.ts'
import { bringArtifacts } from './bring-artifacts.ts'
import { ExecLog } from './exec-log.ts'
import type { JobContext, RolloutContext } from './job-context.ts'
import { runGrader } from './run-grader.ts'
import { parsePrintedReward, printedBy } from './printed-by.ts'
import { runJudge } from './run-judge.ts'
import type { JudgeRun } from './run-judge.ts'
import { findVisits } from './visits.ts'
import type { TaskJudge } from '../tasks/judge.ts'
import { gradedTurns } from './restore-artifacts.ts'
import type { GraderReference } from '../tasks/task.ts'
import { commandsScript, leftBehind, listProcessesScript, parseProcesses } from './process-list.ts'
import type { SandboxProcess } from './process-list.ts'
import type { JudgeEvidence, StoredGrade, StoredOpening } from '../store/records.ts'
import { findChangedPaths, takeSystemPicture } from './system-changes.ts'
import { verifierUser } from './part-spec.ts'
import { execScope, gradingScope } from './sandbox-name.ts'
import { verifierTimeoutMs } from './task-limits.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'

/** For the fixed commands around the tests. */
const stepTimeoutMs = 5 * 60_000

/** Command lines are evidence for a person; nobody waits for them longer. */
const commandsTimeoutMs = 10_000
const mostProcesses = 100

/** Looks at what is left running, in all 0.8 s. */
const mostLooks = 5
const lookAgainMs = 200

type Found = { readonly rewards: Rewards } | { readonly failure: Failure }

export interface GradeDependencies {
  readonly context: JobContext
  readonly rollout: RolloutContext
  readonly runner: Runner
  readonly capabilities: Capabilities
  readonly signal: AbortSignal
  /** What a judge's model keeps the grading waiting for. */
  readonly onWait?: JudgeRun['onWait']
}

/**
 * One grading attempt: ends every command of the agent that still runs (daemons they left stay), makes fresh grading
 * folders, runs the tests, reads the reward. A separate verifier's sandbox gets the artifacts instead. Safe to run twice: by exec ids, so a retry reattaches to the running
 * tests; the grade is `putOnce`.
 */
export async function gradeRollout(input: GradeInput, dependencies: GradeDependencies): Promise<GradeResult> {
  const { store } = dependencies.context
  const known = await getJson<StoredGrade>(store, gradeKey(input))
  const grade =
    known ?? (await putJsonOnce(store, gradeKey(input), await new GradingAttempt(input, dependencies).run()))
  if (grade.failure !== undefined) throw new RollcallError(grade.failure.code, grade.failure.message)
  return { rewards: grade.rewards ?? {}, integrity: grade.integrity }
}

class GradingAttempt {
  readonly #input: GradeInput
  readonly #dependencies: GradeDependencies
  readonly #scope: string
  readonly #log: ExecLog
  readonly #startedAt = new Date().toISOString()
  /** Evidence: commands of what was left running, or why nobody can tell. */
  #processes: string[] = []
  /** Evidence: system paths that are not as they were before the agent. */
  #changedPaths: readonly string[] = []
  /** Evidence: what a judge said. */
  #judged: JudgeEvidence | undefined
  /** Evidence: people who were in the sandbox, the last thing that is looked for. */
  #visits: readonly string[] = []

  constructor(input: GradeInput, dependencies: GradeDependencies) {
    this.#input = input
    this.#dependencies = dependencies
    this.#scope = this.#scopeOf(input.phase)
    this.#log = new ExecLog(input, dependencies.context.store)
  }

  /** A failure of the grader is a finding like a reward; everything else is thrown and tried again. */
  async run(): Promise<StoredGrade> {
    try {
      return this.#grade({ rewards: await this.#rewards() })
    } catch (error) {
      if (!(error instanceof RollcallError) || failureKinds[error.code].actor !== 'grader') throw error
      return this.#grade({ failure: { code: error.code, message: error.message } })
    }
  }

  async #rewards() {
    const { grader, judge } = this.#dependencies.rollout.task
    if (judge !== undefined) return await this.#runJudge(judge)
    await (this.#isSeparate ? this.#prepareSeparate() : this.#prepareShared())
    if (grader !== undefined) return await this.#runGrader(grader)
    const tests = await this.#runTests()
    const first = await this.#readReward(gradingCalls.reward, tests)
    const second = await this.#readReward(gradingCalls.rewardAgain, tests)
    if (!isDeepStrictEqual(first, second)) {
      throw new RollcallError('grade-tampered', 'The reward file changed after the test script had ended')
    }
    await this.#storeReward(first)
    return parsePrintedReward(first, tests)
  }

  /** Its commands have ids of their own, by what they are. */
  async #runGrader(grader: GraderReference) {
    const { context, rollout, runner, signal } = this.#dependencies
    const opening = await getJson<StoredOpening>(context.store, openedKey(this.#input))
    return await runGrader({
      grader,
      runner,
      signal,
      readBundle: (key) => context.store.get(key),
      cacheDirectory: context.cacheDirectory,
      idOf: (part) => this.#id(gradingCalls.grader, part),
      workdir: opening?.workdir ?? '/',
      transcript: await gradedTurns(this.#input, { store: context.store, rollout }),
      log: this.#log,
      env: rollout.host.expand(this.#part.verifier.env),
      timeoutMs: verifierTimeoutMs(this.#part, context.options),
    })
  }

  /** Nothing of the task is put into the sandbox: a file of the agent's may be a link to it. */
  async #runJudge(judge: TaskJudge) {
    const { context, rollout, runner, signal, onWait } = this.#dependencies
    await this.#endEarlierPhases()
    await Promise.all([this.#findProcesses(), this.#findChanges()])
    const { owner, phase } = this.#input
    const { rewards, evidence } = await runJudge({
      judge,
      model: await context.judge(judge.model),
      store: context.store,
      keyOf: (name) => gradeFileKey({ ...this.#input, name }),
      runner,
      idOf: (file) => this.#id(gradingCalls.grader, file),
      workdir: (await this.#opening())?.workdir ?? '/',
      instruction: this.#part.instruction,
      turns: () => gradedTurns(this.#input, { store: context.store, rollout }),
      mark: execScope(JSON.stringify(['judge', owner, phase])),
      mask: (value) => rollout.host.mask.json(value),
      timeoutMs: verifierTimeoutMs(this.#part, context.options),
      signal,
      ...(onWait === undefined ? {} : { onWait }),
    })
    this.#judged = evidence
    return rewards
  }

  get #part() {
    return partOf(this.#dependencies.rollout.task, this.#input.step)
  }

  get #isSeparate(): boolean {
    return this.#input.collectedPhase !== undefined
  }

  async #prepareShared(): Promise<void> {
    await this.#endEarlierPhases()
    await Promise.all([this.#findProcesses(), this.#findChanges()])
    await this.#prepareFolders()
  }

  /** The image of the verifier's own sandbox brings the tests; what the agent left is put where it was. */
  async #prepareSeparate(): Promise<void> {
    const { runner, context, signal } = this.#dependencies
    const first = this.#id(gradingCalls.artifacts)
    await bringArtifacts({ ...this.#input, phase: this.#input.collectedPhase ?? 0 }, { runner, context, first, signal })
    // Last, so that whatever came with the artifacts is no reward.
    const made = await this.#step(gradingCalls.fresh, freshLogsScript(this.#part.verifier.user))
    assertDone(made, 'Making fresh grading folders', 'grader-failed')
  }

  /** Those of the agent, and of earlier grading attempts. */
  async #endEarlierPhases(): Promise<void> {
    const { runner } = this.#dependencies
    const { job, rollout, phase, attempt } = this.#input
    const earlierGradings = Array.from({ length: attempt - 1 }, (_, back) => this.#scopeOf(phase - 1 - back))
    const scopes = [execScope(rolloutId(job, rollout)), ...earlierGradings]
    // The mark goes with the stop: a stale worker's command that comes after is answered, never run beside the tests.
    for (const scope of scopes) runner.acknowledge({ scope, phase, batch: 0 })
    await Promise.all(scopes.map((scope) => runner.stop({ scope, beforePhase: phase })))
  }

  #scopeOf(phase: number): string {
    const { job, rollout, owner } = this.#input
    return gradingScope({ rolloutId: rolloutId(job, rollout), owner, phase })
  }

  /** The file as the tests wrote it: evidence, and what an export shows. */
  async #storeReward(printed: Buffer): Promise<void> {
    const file = rewardFile(printed)
    if (file === undefined) return
    await this.#dependencies.context.store.putOnce(gradeFileKey({ ...this.#input, name: file.name }), file.content)
  }

  /**
   * What commands of the agent have left running: evidence, and the difference between `clean` and `live`. It is looked
   * again before anything is said: an attachment of a worker that has just died takes a moment to end.
   */
  async #findProcesses(): Promise<void> {
    if (!this.#canListProcesses()) return
    let left: readonly SandboxProcess[] = []
    for (let look = 0; look < mostLooks; look += 1) {
      if (look > 0) await delay(lookAgainMs)
      const { stdout } = await this.#exec(gradingCalls.processes, { ...stepRequest(listProcessesScript), part: look })
      const list = parseProcesses(stdout.head.toString())
      if (list === undefined) {
        this.#processes = ['unknown: the sandbox gave no steady list of its processes']
        return
      }
      left = leftBehind(list)
      if (left.length === 0) return
    }
    this.#processes = await this.#commandsOf(left)
  }

  async #findChanges(): Promise<void> {
    const { store } = this.#dependencies.context
    const at = { store, opening: await this.#opening(), look: () => this.#systemPicture() }
    this.#changedPaths = await findChangedPaths(this.#input, at)
  }

  async #systemPicture(): Promise<SystemPicture | undefined> {
    return await takeSystemPicture(
      await this.#dependencies.context.providerOf(this.#input.lease),
      this.#input.lease.sandbox,
    )
  }

  async #commandsOf(left: readonly SandboxProcess[]): Promise<string[]> {
    const pids = left.slice(0, mostProcesses).map(({ pid }) => pid)
    const request = { script: commandsScript(pids), user: 'root', cwd: '/', timeoutMs: commandsTimeoutMs }
    const { stdout } = await this.#exec(gradingCalls.commands, request)
    const lines = stdout.head.toString().split('\n')
    return pids.map((pid, index) => lines[index]?.trim() || `process ${pid}`)
  }

  #canListProcesses(): boolean {
    return this.#dependencies.capabilities.ownProcessTable !== false
  }

  async #prepareFolders(): Promise<void> {
    const { runner, rollout, signal } = this.#dependencies
    const fresh = await this.#step(gradingCalls.fresh, freshDirectoriesScript(this.#part.verifier.user))
    assertDone(fresh, 'Making fresh grading folders', 'grader-failed')
    for (const [index, folder] of testFolders(rollout.task, this.#part).entries()) {
      const upload = {
        id: this.#id(gradingCalls.upload, index),
        tar: await packTree(rollout.task, folder),
        directory: '/tests',
      }
      await uploadTree(runner, upload, { signal })
    }
  }

  /** The exit code is recorded and ignored, as in Harbor: only the reward counts. */
  async #runTests(): Promise<ExecResult> {
    const { context, rollout } = this.#dependencies
    const { verifier } = this.#part
    const opening = await this.#opening()
    const timeoutMs = verifierTimeoutMs(this.#part, context.options)
    const result = await this.#exec(gradingCalls.tests, {
      script: 'chmod +x /tests/test.sh\n/tests/test.sh',
      shell: 'bash',
      cwd: opening?.workdir ?? '/',
      env: rollout.host.expand(verifier.env),
      user: verifierUser(this.#part),
      timeoutMs,
      stdoutSink: this.#log.spoolTo(this.#testOutputKey('stdout')),
      stderrSink: this.#log.spoolTo(this.#testOutputKey('stderr')),
    })
    if (result.outcome.type === 'timed-out') {
      throw new RollcallError('grader-timeout', `The tests did not end within ${timeoutMs} ms${printedBy(result)}`)
    }
    if (result.outcome.type === 'lost') {
      throw new RollcallError('grader-failed', `The fate of the tests is unknown (${result.outcome.reason})`)
    }
    return result
  }

  async #readReward(call: number, tests: ExecResult): Promise<Buffer> {
    const result = await this.#step(call, readRewardScript)
    if (result.outcome.type === 'lost') {
      throw new RollcallError(
        'grader-failed',
        `What became of reading the reward is unknown (${result.outcome.reason})`,
      )
    }
    if (result.outcome.type !== 'exited' || result.outcome.code !== 0) {
      throw new RollcallError('reward-invalid', `The reward cannot be read${printedBy(tests)}`)
    }
    return result.stdout.head
  }

  async #integrity(): Promise<Integrity> {
    const { agent, task } = this.#dependencies.rollout
    // The agent never was in a sandbox into which its stored artifacts were put.
    if (this.#isSeparate || (agent.restores !== undefined && task.judge === undefined)) return 'separate'
    // Where the agent's processes cannot be told from others, nothing better than `live` can be claimed. One without
    // root, too, reads the tests and changes the agent's files before they look.
    if (this.#visits.length > 0 || !this.#canListProcesses() || this.#processes.length > 0) return 'live'
    // A judge can be talked round by what it reads, whoever wrote it.
    if (task.judge !== undefined) return 'clean'
    const isBound = agentIsBound(await this.#opening(), this.#input.step) && this.#changedPaths.length === 0
    return isBound ? 'non-root' : 'clean'
  }

  async #grade(found: Found): Promise<StoredGrade> {
    await this.#log.flush()
    // Now that the reward has been read, nobody comes who could change it.
    this.#visits = await findVisits(this.#dependencies.context.store, this.#input)
    const integrity = await this.#integrity()
    const isLast = this.#input.step === undefined || this.#isSeparate
    const system = isLast ? undefined : await this.#systemPicture()
    const evidence = [...this.#visits, ...this.#processes].slice(0, mostProcesses)
    const grade = {
      ...this.#required(found, { integrity, evidence }),
      integrity,
      execs: this.#log.records,
      startedAt: this.#startedAt,
      finishedAt: new Date().toISOString(),
      processes: evidence,
      ...(this.#changedPaths.length === 0 ? {} : { changedPaths: this.#changedPaths }),
      ...(system === undefined ? {} : { system }),
      ...(this.#judged === undefined ? {} : { judge: this.#judged }),
    }
    return this.#dependencies.rollout.host.mask.json(grade)
  }

  /** A reward that is easier to forge than the job accepts is none. */
  #required(found: Found, { integrity, evidence }: { integrity: Integrity; evidence: readonly string[] }): Found {
    const { requireIntegrity: required } = this.#dependencies.context.options
    if ('failure' in found) return found
    const isJudged = this.#judged !== undefined
    const shown = integrity === 'live' ? evidence : this.#changedPaths
    const failure = integrityFailure({ found: integrity, required, evidence: shown, isJudged })
    return failure === undefined ? found : { failure }
  }

  #opening(): Promise<StoredOpening | undefined> {
    const key = this.#isSeparate ? verifierOpenedKey(this.#input) : openedKey(this.#input)
    return getJson<StoredOpening>(this.#dependencies.context.store, key)
  }

  #step(call: number, script: string): Promise<ExecResult> {
    return this.#exec(call, stepRequest(script))
  }

  async #exec(call: number, at: Omit<ExecRequest, 'id'> & { part?: number }): Promise<ExecResult> {
    const { runner, signal } = this.#dependencies
    const { part = 0, ...request } = at
    const id = this.#id(call, part)
    const startedAt = new Date().toISOString()
    const result = await runner.exec({ ...request, id }, { signal })
    if (call === gradingCalls.tests) this.#reportTests(id, startedAt, result)
    return result
  }

  #reportTests(id: ExecId, startedAt: string, { outcome, durationMs, stdout, stderr }: ExecResult): void {
    const bytes = { stdoutBytes: stdout.bytes, stderrBytes: stderr.bytes }
    const truncated = stdout.truncated || stderr.truncated
    const report = { id, command: '/tests/test.sh', outcome, startedAt, durationMs, ...bytes, truncated }
    this.#log.reportStoredAt(report, (stream) => this.#testOutputKey(stream))
  }

  #testOutputKey(stream: 'stdout' | 'stderr'): string {
    return gradeFileKey({ ...this.#input, name: `test-${stream}.txt` })
  }

  #id(call: number, part = 0): ExecId {
    return { scope: this.#scope, phase: this.#input.phase, batch: 0, call, part }
  }
}

function stepRequest(script: string): Omit<ExecRequest, 'id'> {
  return { script, user: 'root', cwd: '/', timeoutMs: stepTimeoutMs }
}
