import type { PartInput, PreparedStep } from '../protocol/activities.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import { uploadTree } from '../runner/files.ts'
import { openedKey, preparedKey } from '../store/keys.ts'
import type { StoredOpening, StoredPreparation } from '../store/records.ts'
import { getJson, putJsonOnce } from '../store/stored-json.ts'
import { hasFolder, partOf } from '../tasks/task-parts.ts'
import { packTree } from '../tasks/task-tree.ts'
import { agentTask } from './agent-task.ts'
import { assertDone } from './assert-done.ts'
import { ExecLog } from './exec-log.ts'
import { awaitHealthy } from './healthcheck.ts'
import type { JobContext, RolloutContext } from './job-context.ts'
import { agentUser } from './part-spec.ts'
import { agentTimeoutMs } from './task-limits.ts'
import { phaseScope, uploadForAgent } from './upload-for-agent.ts'

/** Batches of the phase: one after the other. */
const batches = { clear: 0, owner: 1, uploads: 2, setup: 3, health: 4 }

const clearTimeoutMs = 5 * 60_000

export interface PrepareDependencies {
  readonly context: Pick<JobContext, 'store' | 'options'>
  readonly rollout: Pick<RolloutContext, 'task' | 'agent' | 'spec'>
  readonly runner: Runner
  readonly signal: AbortSignal
}

/**
 * Prepares a step of a task: clears what the step before it has left for its own graders, has the runner forget what
 * grading printed (an agent that is root reads the runner's files), uploads the step's working
 * files and what the agent asks for, runs `setup.sh` and the step's health check. Safe to run twice: by exec ids, and
 * what was done is `putOnce`.
 * @throws RollcallError `step-setup-failed`, `healthcheck-failed`
 */
export async function prepareStep(input: PartInput, dependencies: PrepareDependencies): Promise<PreparedStep> {
  const { store } = dependencies.context
  if ((await getJson<StoredPreparation>(store, preparedKey(input))) === undefined) {
    const execs = await new StepPreparation(input, dependencies).run()
    await putJsonOnce<StoredPreparation>(store, preparedKey(input), { execs })
  }
  return { prepared: true }
}

class StepPreparation {
  readonly #input: PartInput
  readonly #at: PrepareDependencies
  readonly #log: ExecLog

  constructor(input: PartInput, at: PrepareDependencies) {
    this.#input = input
    this.#at = at
    this.#log = new ExecLog(input, at.context.store)
  }

  async run(): Promise<StoredPreparation['execs']> {
    const { store } = this.#at.context
    const opening = await getJson<StoredOpening>(store, openedKey(this.#input))
    if (opening === undefined) throw new RollcallError('internal', `${this.#input.rollout} has no opening in the store`)
    const { workdir } = opening
    this.#forgetGrading()
    await this.#clear()
    await this.#upload(workdir)
    await this.#setUp(workdir)
    await this.#checkHealth(workdir)
    await this.#log.flush()
    return this.#log.records
  }

  get #part() {
    return partOf(this.#at.rollout.task, this.#input.step)
  }

  get #user() {
    const { rollout, context } = this.#at
    return agentUser({ part: this.#part, spec: rollout.spec, options: context.options })
  }

  /** What was printed by what prepared, collected and graded before: in the store by now, and no agent's to read. */
  #forgetGrading(): void {
    const { phase } = this.#input
    for (let earlier = 1; earlier < phase; earlier += 1) {
      const scope = phaseScope({ ...this.#input, phase: earlier })
      this.#at.runner.acknowledge({ scope, phase, batch: 0, isToBeForgotten: true })
    }
  }

  /** What an earlier step's agent and grader left is theirs; it has been collected. */
  async #clear(): Promise<void> {
    const logs = '/logs/agent /logs/artifacts /logs/verifier'
    const script = `set -e
rm -rf /solution /tests/* /tests/.[!.]* /tests/..?* ${logs}
mkdir -p ${logs}
chmod 777 ${logs}`
    const result = await this.#exec(batches.clear, { script, user: 'root', cwd: '/', timeoutMs: clearTimeoutMs })
    assertDone(result, 'Clearing what the step before has left', 'step-setup-failed')
  }

  /** The step's `workdir/` goes into the working directory, for the agent to have. */
  async #upload(workdir: string): Promise<void> {
    const { runner, rollout, context, signal } = this.#at
    const { task } = rollout
    const { step, phase } = this.#input
    const folder = `${this.#part.folder}workdir`
    const files = hasFolder(task, folder) ? { tar: await packTree(task, folder), user: await this.#owner() } : undefined
    const first = { scope: phaseScope(this.#input), phase, batch: batches.uploads, call: 1 }
    const forAgent = agentTask(task, { workdir, step, timeoutMs: agentTimeoutMs(this.#part, context.options) })
    const uploads = uploadForAgent({ runner, rollout, agentTask: forAgent, first, step, signal })
    if (files !== undefined) uploads.push(this.#uploadWorkdir(files, workdir))
    await Promise.all(uploads)
  }

  /**
   * Before any agent has run, root may write into the working directory. Later it may hold links that an agent without
   * root has made, through which root would write what that agent cannot: the files are unpacked by its user.
   */
  async #uploadWorkdir({ tar, user }: { tar: Buffer; user: string }, workdir: string): Promise<void> {
    const { runner, signal } = this.#at
    const id = { scope: phaseScope(this.#input), phase: this.#input.phase, batch: batches.uploads, call: 0, part: 0 }
    if (this.#input.step === 0 || user === 'root' || user === '0') {
      return await uploadTree(runner, { id, tar, directory: workdir, user }, { signal })
    }
    const request = { id, script: 'tar -x -o -f -', cwd: workdir, user, stdin: tar, timeoutMs: clearTimeoutMs }
    const what = `Unpacking ${this.#part.folder}workdir as user ${user}, who has to be able to write ${workdir},`
    assertDone(await runner.exec(request, { signal }), what, 'step-setup-failed')
  }

  /** Who shall have the step's files: the agent's user, whom only the sandbox knows where nobody names one. */
  async #owner(): Promise<string> {
    if (this.#user !== undefined) return this.#user
    const request = { script: 'id -u', cwd: '/', timeoutMs: clearTimeoutMs }
    const { stdout } = await this.#exec(batches.owner, request)
    return stdout.head.toString().trim() || 'root'
  }

  async #setUp(workdir: string): Promise<void> {
    const { rollout, context } = this.#at
    const script = `${this.#part.folder}workdir/setup.sh`
    if (!rollout.task.files.includes(script)) return
    const { execTimeoutMs } = rollout.spec.limits
    const by = context.options.timeoutMultipliers
    const result = await this.#exec(batches.setup, {
      script: 'if command -v bash >/dev/null; then exec bash ./setup.sh; else exec sh ./setup.sh; fi',
      cwd: workdir,
      timeoutMs: execTimeoutMs * (by.agentSetup ?? by.all ?? 1),
      ...(this.#user === undefined ? {} : { user: this.#user }),
    })
    assertDone(result, `${script} of task ${rollout.task.name}`, 'step-setup-failed')
  }

  async #checkHealth(workdir: string): Promise<void> {
    const { healthcheck, step } = this.#part
    if (healthcheck === undefined) return
    const { runner, context, signal } = this.#at
    const id = { scope: phaseScope(this.#input), phase: this.#input.phase, batch: batches.health, call: 0, part: 0 }
    const user = this.#user === undefined ? {} : { user: this.#user }
    const at = { runner, store: context.store, place: this.#input, id, cwd: workdir, signal, ...user }
    await awaitHealthy(healthcheck, { ...at, field: `The health check of step ${step}` })
  }

  async #exec(batch: number, request: Omit<ExecRequest, 'id'>) {
    const { runner, signal } = this.#at
    const id = { scope: phaseScope(this.#input), phase: this.#input.phase, batch, call: 0, part: 0 }
    return await this.#log.exec(runner, { ...request, id }, signal)
  }
}
