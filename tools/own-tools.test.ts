import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { CallResult, JsonValue } from '../agents/agent.ts'
import { parseTools } from '../agents/parse-tools.ts'
import { RollcallError } from '../protocol/failure.ts'
import { noLiveExecs, openTestSandbox, uniqueScope, type TestSandbox } from '../runner/test-sandbox.ts'
import { executeBatch, type BatchContext } from './execute-batch.ts'
import { loadTools } from './own-tools.ts'
import type { Tool } from './tool.ts'
import { toolSet } from './tool-set.ts'

const here = dirname(fileURLToPath(import.meta.url))
let scope: string
let sandbox: TestSandbox
let folder: string
beforeEach(async () => {
  scope = uniqueScope()
  folder = mkdtempSync(join(tmpdir(), 'rollcall-tools-'))
  sandbox = await openTestSandbox({ shell: 'dash' })
})
afterEach(async () => {
  rmSync(folder, { recursive: true })
  await sandbox[Symbol.asyncDispose]()
})

async function load(file: string): Promise<Tool[]> {
  const { module, bundle } = await parseTools(file, folder)
  const readBundle = async (): Promise<Buffer> => bundle?.bytes ?? Buffer.alloc(0)
  return loadTools(module, { readBundle, cacheDirectory: join(folder, 'cache') })
}

/** A file with tools, as a user writes it: `body` is what it exports. */
function written(body: string): string {
  const file = join(folder, 'tools.ts')
  const imports = `import { defineTool } from '${join(here, '../agents/index.ts')}'
import { z } from '${join(here, '../node_modules/zod/index.js')}'
const noArguments = z.strictObject({})
`
  writeFileSync(file, imports + body)
  return file
}

const contextOf = (tools: readonly Tool[]): BatchContext => ({
  runner: sandbox.open(),
  scope,
  phase: 1,
  batch: 0,
  defaultTimeoutMs: 20_000,
  workdir: sandbox.workdir,
  signal: new AbortController().signal,
  tools: toolSet(tools).byName,
})

async function call(tool: string, args: Record<string, JsonValue>, context: BatchContext): Promise<CallResult> {
  const [result] = await executeBatch({ calls: [{ tool, args }], mode: 'sequence', stopOnError: false }, context)
  if (result === undefined) throw new Error('no result')
  return result
}

test('the example counts words, is described to models, and refuses wrong arguments', async () => {
  const tools = await load(join(here, '../examples/tools/count-words.ts'))
  const context = contextOf(tools)
  writeFileSync(join(sandbox.workdir, 'a b'), 'one two, one. ones')
  expect(await call('count_words', { path: 'a b', word: 'one' }, context)).toEqual({
    tool: 'count_words',
    ok: true,
    outcome: 'exited',
    exitCode: 0,
    output: 'one occurs 2 times in a b',
  })
  expect(await call('count_words', { path: 'none', word: 'one' }, { ...context, batch: 1 })).toMatchObject({
    ok: false,
  })
  expect(await call('count_words', { path: 'a b' }, { ...context, batch: 2 })).toMatchObject({ outcome: 'invalid' })
  const described = toolSet(tools).descriptions.find(({ name }) => name === 'count_words')
  expect(described?.parameters).toMatchObject({ required: ['path', 'word'], properties: { word: { type: 'string' } } })
})

test('a call that is made again does not run its commands again', async () => {
  const tools = await load(
    written(`export const twice = defineTool({ name: 'twice', description: 'd', arguments: noArguments,
      run: async (_, { exec }) => {
        const first = await exec('echo x >>ran; date +%s%N')
        const second = await exec({ script: 'echo y >>ran; cat', stdin: first.stdout })
        return second.stdout
      } })`),
  )
  const context = contextOf(tools)
  const first = await call('twice', {}, context)
  expect(first.ok).toBe(true)
  expect(await call('twice', {}, { ...context, runner: sandbox.open() })).toEqual(first)
  expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('x\ny\n')
})

test('made again, each command gets its own answer, in whichever order the tool asks', async () => {
  const tools = await load(
    written(`let runs = 0
    export const both = defineTool({ name: 'both', description: 'd', arguments: noArguments,
      run: async (_, { exec }) => {
        const names = runs++ === 0 ? ['a', 'b'] : ['b', 'a']
        const told = await Promise.all(names.map(async (name) => (await exec(\`echo \${name}\`)).stdout))
        return names.map((name, at) => name + '=' + told[at].trim()).sort().join()
      } })`),
  )
  const context = contextOf(tools)
  expect((await call('both', {}, context)).output).toBe('a=a,b=b')
  expect((await call('both', {}, { ...context, runner: sandbox.open() })).output).toBe('a=a,b=b')
})

test('a tool that hears no signal, or waits for no command, holds up and ends nobody', async () => {
  const tools = await load(
    written(`const tool = (name, run) => defineTool({ name, description: 'd', arguments: noArguments, run })
      export const hangs = tool('hangs', () => new Promise(() => {}))
      export const leaves = tool('leaves', async (_, { exec }) => { await exec('true'); void exec('sleep 5'); return 'left' })`),
  )
  const unheard: unknown[] = []
  const hear = (error: unknown): void => void unheard.push(error)
  process.on('unhandledRejection', hear)
  onTestFinished(() => void process.off('unhandledRejection', hear))
  const over = new AbortController()
  const context = { ...contextOf(tools), signal: over.signal }
  expect((await call('leaves', {}, context)).output).toBe('left')
  const hanging = call('hangs', {}, { ...context, batch: 1 })
  over.abort(new Error('time is over'))
  await expect(hanging).rejects.toThrow('time is over')
  await new Promise((resolve) => setImmediate(resolve))
  expect(unheard).toEqual([])
})

test('a long answer is cut, and a command that cannot be said is a wrong argument', async () => {
  const tools = await load(
    written(`const tool = (name, run) => defineTool({ name, description: 'd', arguments: noArguments, run })
      export const long = tool('long', async () => 'x'.repeat(1e6))
      export const throws = tool('throws', async () => { throw new Error('x'.repeat(1e6)) })
      export const nul = tool('nul', async (_, { exec }) => { await exec('true'); return (await exec('echo \\0')).stdout })`),
  )
  const context = contextOf(tools)
  for (const name of ['long', 'throws']) expect((await call(name, {}, context)).output.length).toBeLessThan(31_000)
  expect(await call('nul', {}, context)).toMatchObject({ outcome: 'invalid', output: expect.stringContaining('NUL') })
})

test('what a tool throws or answers wrongly is a failed call, and a dead sandbox is none', async () => {
  const tools = await load(
    written(`const tool = (name, run) => defineTool({ name, description: 'd', arguments: noArguments, run })
      export const throws = tool('throws', async () => { throw new Error('no such thing') })
      export const wrong = tool('wrong', async () => ({ yes: true }))
      export const works = tool('works', async (_, { exec }) => (await exec('true')).outcome)`),
  )
  const context = contextOf(tools)
  expect((await call('throws', {}, context)).output).toBe('Tool throws threw: no such thing')
  expect((await call('wrong', {}, context)).output).toMatch(/^Tool wrong answered wrongly: /)
  const lost = (): Promise<never> => Promise.reject(new RollcallError('sandbox-lost', 'gone'))
  const runner = { ...noLiveExecs, exec: lost, stop: lost, hello: lost, acknowledge: () => {}, close: () => {} }
  await expect(call('works', {}, { ...context, runner })).rejects.toMatchObject({ code: 'sandbox-lost' })
})

test.each([
  ['a file that exports no tool', 'export const x = 1', /expected export const … = defineTool/],
  ['a file that throws', 'export const x = defineTool\nthrow new Error("at once")', /at once/],
  [
    'a name that services refuse',
    "export const x = defineTool({ name: 'a b', description: 'd', arguments: noArguments, run: async () => '' })",
    /"a b" needs a name/,
  ],
])('%s is refused by name', async (_name, body, said) => {
  await expect(load(written(body))).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringMatching(said),
  })
})

test('two tools of one name are refused, and a model that takes no images is told so', async () => {
  const tools = await load(
    written(
      "export const x = defineTool({ name: 'bash', description: 'd', arguments: noArguments, run: async () => '' })",
    ),
  )
  expect(() => toolSet(tools)).toThrow('Two tools are called bash')
  const blind = toolSet([], { blind: 'Model openai/o3-mini' })
  expect(blind.descriptions.map(({ name }) => name)).not.toContain('view_image')
  const refused = await call('view_image', { path: 'x' }, { ...contextOf([]), tools: blind.byName })
  expect(refused).toMatchObject({
    outcome: 'invalid',
    output: expect.stringContaining('Model openai/o3-mini takes no images'),
  })
})

test('an image file is kept and named; what is none is refused', async () => {
  const kept: Buffer[] = []
  const keepImage: BatchContext['keepImage'] = async ({ bytes }) => `images/${kept.push(bytes)}`
  const png = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(100)])
  writeFileSync(join(sandbox.workdir, 'f.png'), png)
  writeFileSync(join(sandbox.workdir, 'f.txt'), 'text')
  const context = { ...contextOf([]), keepImage }
  const shown = await call('view_image', { path: 'f.png' }, context)
  expect(shown.images).toEqual([{ key: 'images/1', mediaType: 'image/png', bytes: 108 }])
  expect(kept).toEqual([png])
  expect((await call('view_image', { path: 'f.txt' }, { ...context, batch: 1 })).output).toContain('f.txt is no image')
})
