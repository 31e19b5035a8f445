import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CallResult, JsonValue } from '../agents/agent.ts'
import { applets, openTestSandbox, uniqueScope, type TestSandbox } from '../runner/test-sandbox.ts'
import { executeBatch, type BatchContext } from './execute-batch.ts'

let scope: string
let sandbox: TestSandbox
let batch = 0
const kept = new Map<string, Buffer>()
beforeEach(async () => {
  scope = uniqueScope()
  kept.clear()
  sandbox = await openTestSandbox({ shell: 'dash', only: ['python3', ...applets] })
})
afterEach(async () => {
  await python({ restart: true })
  await sandbox[Symbol.asyncDispose]()
})

const contextOf = (more: Partial<BatchContext> = {}): BatchContext => ({
  runner: sandbox.open(),
  scope,
  phase: 1,
  batch: batch++,
  defaultTimeoutMs: 20_000,
  workdir: sandbox.workdir,
  signal: new AbortController().signal,
  keepImage: async ({ id, bytes }) => {
    const key = `images/${id.batch}-${id.part}`
    kept.set(key, bytes)
    return key
  },
  ...more,
})

async function python(args: Record<string, JsonValue>, context = contextOf()): Promise<CallResult> {
  const calls = [{ tool: 'python', args }]
  const [result] = await executeBatch({ calls, mode: 'sequence', stopOnError: false }, context)
  if (result === undefined) throw new Error('no result')
  return result
}

const py = (code: string, more: Record<string, JsonValue> = {}): Promise<CallResult> => python({ code, ...more })

test('variables, functions and imports carry over, and the last expression is shown', async () => {
  expect((await py('import math\nx = 41\ndef f(n):\n    return n + 1')).output).toBe('')
  expect((await py('print("printed")\nf(x)')).output).toBe('printed\n42\n')
  expect((await py('_ + math.floor(0.5)')).output).toBe('42\n')
  expect((await py('class A:\n    pass\nA.__module__, __name__')).output).toBe("('__main__', '__main__')\n")
})

test('an exception is told with its lines and ends nothing', async () => {
  await py('x = 1')
  const result = await py('def g():\n    return 1 / 0\n\ng()')
  expect(result).toMatchObject({ ok: false, outcome: 'exited', exitCode: 1 })
  expect(result.output).toMatch(/Traceback[^]*line 4[^]*g\(\)[^]*line 2[^]*return 1 \/ 0[^]*ZeroDivisionError/)
  expect(result.output).not.toContain('evaluate')
  expect((await py('1 +')).output).toContain('SyntaxError')
  expect((await py('x')).output).toBe('1\n')
})

test('code that outlives its call is looked at, answered and interrupted', async () => {
  await py('x = 1')
  const asked = await py('name = input("name? ")\nprint("hi", name)', { timeout_ms: 400 })
  expect(asked).toMatchObject({ outcome: 'running', output: expect.stringMatching(/^name\? \n\[still running/) })
  expect((await python({ input: 'Ann\n' })).output).toBe('hi Ann\n')
  expect((await py('import time\ntime.sleep(60)', { timeout_ms: 300 })).outcome).toBe('running')
  expect(await py('2')).toMatchObject({ outcome: 'invalid' })
  const interrupted = await python({ keys: ['C-c'] })
  expect(interrupted).toMatchObject({ exitCode: 130, output: expect.stringContaining('KeyboardInterrupt') })
  expect((await py('x')).output).toBe('1\n')
})

test('child processes and bytes that are no text come through', async () => {
  const code =
    'import os, subprocess\nsubprocess.run(["sh", "-c", "echo child; echo err >&2"])\nos.write(1, bytes([255, 10]));'
  expect((await py(code)).output).toMatch(/^child\nerr\n\uFFFD\n/)
  expect((await py('print("y" * 10_000_000)')).output.length).toBeLessThan(40_000)
})

test('images come back as images, kept once', async () => {
  const png = '89504e470d0a1a0a'
  await py(`class Image:\n    def _repr_png_(self):\n        return bytes.fromhex("${png}")`)
  const context = contextOf()
  const result = await python({ code: 'display(Image())\nprint("text")\nImage()' }, context)
  expect(result.output).toBe('text\n[2 images]')
  expect(result.images?.map(({ mediaType, bytes }) => [mediaType, bytes])).toEqual([
    ['image/png', 8],
    ['image/png', 8],
  ])
  expect([...kept.values()].map((bytes) => bytes.toString('hex'))).toEqual([png, png])
  expect(await python({ code: 'display(Image())' }, { ...context, runner: sandbox.open() })).toEqual(result)
})

test('figures that are open when the code ends are plots', async () => {
  const figure =
    'class Figure:\n    def savefig(self, file, format):\n        file.write(b"plot of " + format.encode())\n'
  const module = `${figure}open_figures = [1]\ndef get_fignums():\n    return open_figures\ndef figure(number):\n    return Figure()\ndef close(which):\n    open_figures.clear()\n`
  writeFileSync(join(sandbox.workdir, 'plots.py'), module)
  const result = await py('import sys, plots\nsys.modules["matplotlib.pyplot"] = plots')
  expect(result.images).toHaveLength(1)
  expect([...kept.values()].map(String)).toEqual(['plot of png'])
  expect((await py('1')).images).toBeUndefined()
})

test('leaving and restarting begin anew, and are told', async () => {
  await py('x = 1')
  expect((await py('import sys; sys.exit(3)')).output).toContain('the interpreter has ended with exit code 3')
  expect((await py('x')).output).toContain('NameError')
  await py('x = 1')
  expect((await python({ restart: true })).ok).toBe(true)
  expect((await py('x')).output).toContain('NameError')
})

test('a sandbox without Python is told so in one sentence', async () => {
  await using bare = await openTestSandbox({ shell: 'busybox' })
  const result = await python({ code: '1' }, contextOf({ runner: bare.open(), workdir: bare.workdir }))
  expect(result).toMatchObject({
    ok: false,
    output: 'There is no python3 in this sandbox: use bash, or install Python first',
  })
})

test('an exit code is the interpreter’s, whatever it is', async () => {
  const left = await py('print("out")\nimport sys\nsys.exit(127)')
  expect(left).toMatchObject({ exitCode: 127, output: expect.stringMatching(/^out\n\[the interpreter has ended/) })
})

test('interrupts one after the other end the cell, and the next one runs', async () => {
  await py('x = 1')
  await py('import time\nwhile True: time.sleep(1)', { timeout_ms: 300 })
  expect(await python({ keys: ['C-c', 'C-c', 'C-c'] })).toMatchObject({ exitCode: 130 })
  expect(await py('x')).toMatchObject({ ok: true, output: '1\n' })
})

test('a process that a cell forks takes no cells', async () => {
  await py('import os, time\npid = os.fork()\nif pid == 0: time.sleep(0.1)')
  for (const number of [1, 2, 3, 4]) expect((await py(`${number}`)).output).toBe(`${number}\n`)
  expect((await py('os.waitpid(pid, 0)[1]')).output).toBe('0\n')
})
