import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { PassThrough } from 'node:stream'
import { text as textOf } from 'node:stream/consumers'
import { Ajv } from 'ajv'
import { beforeEach, afterEach, expect, test } from 'vitest'
import type { Call, CallResult } from '../agents/agent.ts'
import { openTestSandbox, uniqueScope, until, type TestSandbox } from '../runner/test-sandbox.ts'
import { executeBatch, type Batch, type BatchContext, type ExecReport } from './execute-batch.ts'
import { toolDescriptions } from './tools.ts'

const scope = uniqueScope()
let sandbox: TestSandbox
let batchNumber: number
beforeEach(async () => {
  sandbox = await openTestSandbox({ shell: 'dash' })
  batchNumber = 0
})
afterEach(() => sandbox[Symbol.asyncDispose]())

const contextOf = (more: Partial<BatchContext> = {}): BatchContext => ({
  runner: sandbox.open(),
  scope,
  phase: 1,
  batch: batchNumber++,
  defaultTimeoutMs: 20_000,
  workdir: sandbox.workdir,
  signal: new AbortController().signal,
  ...more,
})

const run = (calls: readonly Call[], more: Partial<Batch> = {}, context = contextOf()): Promise<CallResult[]> =>
  executeBatch({ calls, mode: 'sequence', stopOnError: false, ...more }, context)

const bash = (command: string, more: Partial<Call> = {}): Call => ({ tool: 'bash', args: { command }, ...more })

async function one(call: Call): Promise<CallResult | undefined> {
  return (await run([call]))[0]
}

const path = (name: string): string => join(sandbox.workdir, name)

test('calls run in the order asked, in a fresh shell each, with files carried over', async () => {
  const results = await run([
    bash('x=1; cd /; echo first >>log'),
    bash('echo "[$x] $PWD"; cat log; echo e >&2; exit 4'),
  ])
  expect(results[0]).toEqual({ tool: 'bash', ok: true, outcome: 'exited', exitCode: 0, output: '' })
  expect(results[1]).toMatchObject({ ok: false, exitCode: 4 })
  expect(results[1]?.output).toBe(`[] ${sandbox.workdir}\ncat: log: No such file or directory\ne\n[exit code 4]`)
})

test('results of a parallel batch are in the order asked, though the calls run together', async () => {
  const wait = (own: string, other: string): Call =>
    bash(`touch ${own}; until [ -e ${other} ]; do sleep 0.01; done; echo ${own}`, { callId: own })
  const results = await run([wait('a', 'b'), wait('b', 'a')], { mode: 'parallel' })
  expect(results.map(({ callId, output }) => [callId, output])).toEqual([
    ['a', 'a\n'],
    ['b', 'b\n'],
  ])
})

test('after a call that is not ok a stop-on-error batch skips the rest', async () => {
  const results = await run([bash('true'), bash('false'), bash('touch ran')], { stopOnError: true })
  expect(results.map(({ outcome }) => outcome)).toEqual(['exited', 'exited', 'skipped'])
  expect(readdirSync(sandbox.workdir)).toEqual([])
})

test('each call has its own timeout, and a timeout is not an exit code', async () => {
  const results = await run([
    bash('echo begun; sleep 60', { timeoutMs: 300 }),
    { tool: 'bash', args: { command: 'sleep 60', timeout_ms: 200 } },
    bash('exit 143'),
  ])
  expect(results.map(({ outcome, exitCode }) => [outcome, exitCode])).toEqual([
    ['timed-out', undefined],
    ['timed-out', undefined],
    ['exited', 143],
  ])
  expect(results[0]?.output).toBe('begun\n[killed: it ran longer than 0.3 s]')
})

test('a batch that is run again attaches to what the first has done', async () => {
  const context = contextOf()
  const calls = [bash('echo x >>ran; echo done'), { tool: 'write_file', args: { path: 'f', content: 'x' } }]
  const first = await run(calls, {}, context)
  writeFileSync(path('f'), 'changed since')
  const again = await run(calls, {}, { ...context, runner: sandbox.open() })
  expect(again).toEqual(first)
  expect(readFileSync(path('ran'), 'utf8')).toBe('x\n')
  expect(readFileSync(path('f'), 'utf8')).toBe('changed since')
})

test('every exec is reported and its output spooled whole', async () => {
  const records: ExecReport[] = []
  const spooled: Record<string, Promise<string>> = {}
  const context = contextOf({
    onExec: (record) => records.push(record),
    spool: (id, stream) => {
      const sink = new PassThrough()
      spooled[`${id.call} ${stream}`] = textOf(sink)
      return sink
    },
  })
  const [result] = await run([bash('seq 100000; echo end >&2')], {}, context)
  expect(records[0]).toMatchObject({
    id: { scope, phase: 1, batch: context.batch, call: 0, part: 0 },
    command: 'seq 100000; echo end >&2',
    outcome: { type: 'exited', code: 0 },
    stdoutBytes: 588_895,
    stderrBytes: 4,
    truncated: true,
  })
  expect(Date.parse(records[0]?.startedAt ?? '')).toBeLessThanOrEqual(Date.now())
  expect((await spooled['0 stdout'])?.length).toBe(588_895)
  expect(await spooled['0 stderr']).toBe('end\n')
  expect(result?.output.length).toBeLessThan(30_200)
  expect(result?.output).toMatch(
    /^1\n2\n[^]*\n\[… 558895 of 588895 characters left out …\]\n[^]*\n99999\n100000\nend\n$/,
  )
})

test('environment and directory of a call are data', async () => {
  mkdirSync(path("d 'x'"))
  const args = { command: 'pwd; echo "$V $W"', cwd: "d 'x'", env: { V: '$(id) "q"' } }
  const [result] = await run([{ tool: 'bash', args }], {}, contextOf({ env: { V: 'base', W: 'w' } }))
  expect(result?.output).toBe(`${path("d 'x'")}\n$(id) "q" w\n`)
})

test.each([
  ['an unknown tool', { tool: 'browse', args: {} }, /no tool "browse"; there are bash, python, read_file/],
  ['a missing argument', { tool: 'bash', args: {} }, /command/],
  ['an unknown argument', { tool: 'submit', args: { extra: 1 } }, /extra/],
  ['an argument of the wrong type', { tool: 'read_file', args: { path: 'f', offset: 0 } }, /offset/],
])('%s is an invalid call, not an error', async (_name, call, output) => {
  expect(await one(call)).toMatchObject({ ok: false, outcome: 'invalid', output: expect.stringMatching(output) })
})

test.each(['plain', 'with space', "it's", 'new\nline', 'Áß€', '-rf', '$(touch pwned)', 'a"b\\c'])(
  'file %j is written, edited, read and listed',
  async (name) => {
    const results = await run([
      { tool: 'write_file', args: { path: name, content: 'one\ntwo\nthree' } },
      { tool: 'edit_file', args: { path: name, old_string: 'two', new_string: "2 'é'" } },
      { tool: 'read_file', args: { path: name, offset: 2, limit: 1 } },
      { tool: 'list_files', args: {} },
    ])
    expect(results.map(({ ok }) => ok)).toEqual([true, true, true, true])
    expect(results[2]?.output).toBe("2 'é'\n")
    expect(readFileSync(path(name), 'utf8')).toBe("one\n2 'é'\nthree")
    expect(results[3]?.output).toBe(/["\n\\]/.test(name) ? JSON.stringify(name) : name)
    expect(readdirSync(sandbox.workdir)).toEqual([name])
  },
)

test('lines are those asked for, with their ends', async () => {
  writeFileSync(path('f'), 'a\n\nb\nc')
  const ask = async (offset: number, limit?: number) =>
    (await one({ tool: 'read_file', args: { path: 'f', offset, ...(limit && { limit }) } }))?.output
  expect(await ask(1)).toBe('a\n\nb\nc')
  expect(await ask(2, 2)).toBe('\nb\n')
  expect(await ask(4, 9)).toBe('c')
  expect(await ask(5)).toBe('')
})

test('a long file of short lines does not hold up everything else in the worker', async () => {
  writeFileSync(path('f'), '\n'.repeat(16 * 1024 * 1024))
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  await run([
    { tool: 'read_file', args: { path: 'f' } },
    { tool: 'read_file', args: { path: 'f', offset: 9_000_000, limit: 5 } },
  ])
  delay.disable()
  expect(delay.max / 1e6).toBeLessThan(600)
})

test('an edit needs exactly one match and keeps mode and all other bytes', async () => {
  const bytes = Buffer.from([0xff, 0xfe, ...Buffer.from('a b b\n'), 0x80])
  writeFileSync(path('f'), bytes)
  chmodSync(path('f'), 0o755)
  const edit = (old_string: string): Call => ({ tool: 'edit_file', args: { path: 'f', old_string, new_string: 'c' } })
  const [none, many, good] = await run([edit('zz'), edit('b'), edit('a b')])
  expect(none?.output).toContain('occurs nowhere')
  expect(many?.output).toContain('more than once')
  expect(good?.ok).toBe(true)
  expect(readFileSync(path('f'))).toEqual(Buffer.from([0xff, 0xfe, ...Buffer.from('c b\n'), 0x80]))
  expect(statSync(path('f')).mode & 0o777).toBe(0o755)
})

test('files that cannot be read say why', async () => {
  writeFileSync(path('binary'), Buffer.from([1, 0, 2]))
  const read = (name: string): Call => ({ tool: 'read_file', args: { path: name } })
  const results = await run([read('none'), read('.'), read('/dev/null'), read('binary')])
  expect(results.map(({ ok, output }) => [ok, output])).toEqual([
    [false, 'none does not exist'],
    [false, '. is a directory'],
    [false, '/dev/null is not a regular file'],
    [true, '[binary is a binary file of 3 bytes]'],
  ])
})

test('a directory is listed with hidden files, kinds and depth', async () => {
  mkdirSync(path('d/e'), { recursive: true })
  writeFileSync(path('.hidden'), '')
  writeFileSync(path('d/f'), '')
  symlinkSync('/etc', path('link'))
  const [flat, deep, missing] = await run([
    { tool: 'list_files', args: {} },
    { tool: 'list_files', args: { path: 'd', depth: 2 } },
    { tool: 'list_files', args: { path: 'none' } },
  ])
  expect(flat?.output).toBe('.hidden\nd/\nlink@')
  expect(deep?.output).toBe('e/\nf')
  expect(missing).toMatchObject({ ok: false, output: expect.stringContaining('none') })
})

test('submit carries the answer', async () => {
  expect(await one({ tool: 'submit', args: { answer: '42' } })).toMatchObject({
    ok: true,
    output: '42',
    submitted: true,
  })
})

test('aborting detaches and leaves the command running', async () => {
  const stop = new AbortController()
  const context = contextOf({ signal: stop.signal })
  const calls = [bash('touch up; until [ -e go ]; do sleep 0.01; done; echo kept')]
  const result = run(calls, {}, context)
  const isUp = async (): Promise<boolean> => readdirSync(sandbox.workdir).includes('up')
  await until(isUp, 'the command to run')
  stop.abort(new Error('handed over'))
  await expect(result).rejects.toThrow('handed over')
  writeFileSync(path('go'), '')
  const again = await run(calls, {}, { ...context, signal: new AbortController().signal })
  expect(again[0]?.output).toBe('kept\n')
})

test('descriptions are JSON schemas that accept what the tools accept', () => {
  const ajv = new Ajv({ strict: true })
  for (const { name, description, parameters } of toolDescriptions) {
    expect(`${name}: ${description}`).toMatch(/: .{20}/)
    ajv.compile(parameters)
  }
  const listing = toolDescriptions.find(({ name }) => name === 'list_files')
  expect(ajv.validate(listing?.parameters ?? {}, {})).toBe(true)
})

test.each<Call>([
  bash('echo a\0b'),
  { tool: 'bash', args: { command: 'true', env: { 'A=B': 'x' } } },
  { tool: 'read_file', args: { path: 'a\0' } },
  { tool: 'edit_file', args: { path: 'a\0', command: 'undo' } },
])('what no command can hold is a wrong argument: an agent cannot end its rollout ungraded by it (%j)', async (bad) => {
  const results = await run([bad, bash('echo on')])
  expect(results).toMatchObject([{ ok: false, outcome: 'invalid' }, { output: 'on\n' }])
})
