import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openTestSandbox } from '../runner/test-sandbox.ts'
import { createFileStore } from '../store/file-store.ts'
import { bundleTasks } from '../tasks/task-module.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { ExecLog } from './exec-log.ts'
import { runGrader } from './run-grader.ts'

/** A grader of this source, ready to be run in a sandbox, as often as wanted. */
async function graderOf(source: string, { timeoutMs = 30_000 } = {}) {
  const folder = await temporaryFolder('grader')
  const path = join(folder, 'tasks.ts')
  await writeFile(
    path,
    `import { defineTask } from 'rollcall'
     export const t = defineTask({ name: 't', instruction: 'x', image: 'y', grade: ${source} })`,
  )
  const bundle = await bundleTasks(path)
  const sandbox = await openTestSandbox({ shell: 'dash' })
  onTestFinished(() => sandbox[Symbol.asyncDispose]())
  const log = new ExecLog({ job: 'j', rollout: 'r', incarnation: 1 }, createFileStore(join(folder, 'store')))
  const stopped = new AbortController()
  const run = () =>
    runGrader({
      grader: { bundle: bundle.key, task: 't', source: 'tasks.ts' },
      readBundle: async () => bundle.bytes,
      cacheDirectory: folder,
      runner: sandbox.open(),
      idOf: (asked) => ({ scope: 'grader', phase: 2, batch: 0, call: 8, part: asked }),
      workdir: sandbox.workdir,
      transcript: [{ number: 0, decision: { calls: [] }, results: [] }],
      env: { KEY: 'k' },
      timeoutMs,
      signal: stopped.signal,
      log,
    })
  return { run, sandbox, log, stopped }
}

test('a grader looks at the sandbox, the transcript and its variables', async () => {
  const { run, sandbox, log } = await graderOf(`async ({ exec, readFile, transcript, env }) => {
    const { exitCode, stdout } = await exec('echo out; exit 3')
    const missing = await readFile('none')
    return { reward: exitCode, text: (await readFile('given'))?.length, turns: transcript.length,
      rest: stdout === 'out\\n' && missing === undefined && env.KEY === 'k' ? 1 : 0 }
  }`)
  await writeFile(join(sandbox.workdir, 'given'), 'four')
  expect(await run()).toEqual({ reward: 3, text: 4, turns: 1, rest: 1 })
  expect(log.records.map(({ command }) => command)).toEqual(['echo out; exit 3'])
})

test('run again by another worker, it attaches to the commands that have been run', async () => {
  const { run, sandbox } = await graderOf(`async ({ exec }) => {
    await exec('echo once >>log'); return Number((await exec('wc -l <log')).stdout)
  }`)
  expect([await run(), await run()]).toEqual([{ reward: 1 }, { reward: 1 }])
  expect(sandbox.workdir).toBeDefined()
})

test('run again by another worker, each command gets its own answer, in whichever order it asks', async () => {
  const { run } = await graderOf(`async ({ exec }) => {
    const runs = (globalThis['rollcall-test-runs'] = (globalThis['rollcall-test-runs'] ?? 0) + 1)
    const asked = ['first', 'second', 'second'].map((name) => [name, \`echo \${name} >>log; wc -l <log\`])
    const answers = {}
    for (const [name, command] of runs === 1 ? asked : asked.toReversed())
      answers[name] = Math.max(answers[name] ?? 0, Number((await exec(command)).stdout))
    return { ...answers, runs }
  }`)
  expect(await run()).toEqual({ first: 1, second: 3, runs: 1 })
  expect(await run()).toEqual({ first: 1, second: 3, runs: 2 })
})

test.each([
  [`() => { throw new Error('no idea') }`, 'grader-failed', 'The grader of task t threw: no idea'],
  [`() => Number.NaN`, 'reward-invalid', 'returned "NaN": expected a finite number'],
  [`() => ({})`, 'reward-invalid', 'returned {}'],
  [`() => 'yes'`, 'reward-invalid', 'returned "yes"'],
  [`() => undefined`, 'reward-invalid', 'returned nothing'],
])('%s is no grade', async (source, code, message) => {
  await expect((await graderOf(source)).run()).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message) as string,
  })
})

test('a grader that does not end is stopped at its time, and one whose worker lets go is not blamed', async () => {
  const endless = `() => new Promise<number>(() => undefined)`
  await expect((await graderOf(endless, { timeoutMs: 50 })).run()).rejects.toMatchObject({ code: 'grader-timeout' })
  const { run, stopped } = await graderOf(endless)
  const running = run()
  stopped.abort(new Error('handed over'))
  await expect(running).rejects.toThrow('handed over')
})

test('a limit beyond what a timer can wait for does not come at once', async () => {
  const { run } = await graderOf(`async ({ exec }) => (await exec('sleep 0.1')).exitCode`, {
    timeoutMs: 30 * 86_400_000,
  })
  expect(await run()).toEqual({ reward: 0 })
})
