import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../tasks/task-fixture.ts'
import { agentInput, playedTurn } from './agent-fixture.ts'
import type { Agent } from './agent.ts'
import { loadAgent } from './load-agent.ts'
import { parseAgent } from './parse-agent.ts'
import type { ParsedAgent } from './parse-agent.ts'

const repository = join(import.meta.dirname, '..')

async function sources(files: Record<string, string>): Promise<string> {
  const directory = await temporaryDirectory()
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(directory, path, '..'), { recursive: true })
    await writeFile(join(directory, path), content)
  }
  return directory
}

async function parse(source: string, exportName = 'agent', args: Record<string, string> = {}): Promise<ParsedAgent> {
  const directory = await sources({ 'my-agent.ts': source })
  return parseAgent({ agent: `./my-agent.ts#${exportName}`, args, directory })
}

async function load({ spec, bundle }: ParsedAgent): Promise<Agent> {
  const readBundle = () => Promise.resolve(bundle?.bytes ?? Buffer.alloc(0))
  return loadAgent(spec, { env: {}, readBundle, cacheDirectory: await temporaryDirectory() })
}

describe('bundling', () => {
  test('an agent is bundled with what it imports, TypeScript and CommonJS, and node’s own modules stay outside', async () => {
    const directory = await sources({
      'my-agent.ts': `
        import { basename } from 'node:path'
        import { greeting } from './greeting.ts'
        import old from 'old-package'
        export const agent = { name: basename('/x/' + greeting), next: async () => ({ done: true as const, reason: old.say() }) }`,
      'greeting.ts': `export const greeting: string = 'hello'`,
      'node_modules/old-package/index.js': `const { sep } = require('path'); module.exports = { say: () => 'sep' + sep }`,
    })
    const parsed = await parseAgent({ agent: './my-agent.ts#agent', directory })
    expect(parsed.spec).toMatchObject({
      kind: 'module',
      label: 'my-agent',
      module: { key: parsed.bundle?.key, exportName: 'agent', source: './my-agent.ts' },
    })
    const agent = await load(parsed)
    expect(agent.name).toBe('hello')
    expect(await agent.next(agentInput())).toEqual({ done: true, reason: 'sep/' })
  })

  test('the same sources give the same bundle wherever they lie', async () => {
    const source = `export const agent = { name: 'a', next: async () => ({ done: true }) }`
    const [one, other] = [await parse(source), await parse(source)]
    expect(one.bundle?.key).toBe(other.bundle?.key)
    expect((await parse(source.replace(`'a'`, `'b'`))).bundle?.key).not.toBe(one.bundle?.key)
  })

  test.each([
    [`import x from './binding.node'; export const agent = x`, './binding.node is a native module'],
    [`import x from 'node-gyp-build'; export const agent = x`, 'node-gyp-build is a native module'],
    [`import x from './missing.ts'; export const agent = x`, 'my-agent.ts:1: Could not resolve "./missing.ts"'],
    [`export const agent = {`, 'my-agent.ts:1: '],
    [`export const other = 1`, 'the file exports other'],
    [`export {}`, 'the file exports nothing'],
  ])('%j is refused by name', async (source, message) => {
    await expect(parse(source)).rejects.toMatchObject({
      code: 'agent-invalid',
      message: expect.stringContaining(message),
    })
  })

  test('a file that is not there is named', async () => {
    await expect(parseAgent({ agent: './none.ts#agent', directory: '/nowhere' })).rejects.toThrow('/nowhere/none.ts')
  })
})

describe('loading', () => {
  test('the bundled example reads a line and writes it down', async () => {
    const agent = './examples/agents/first-line-agent.ts#firstLineAgent'
    const example = await load(await parseAgent({ agent, args: { path: '/etc/hosts' }, directory: repository }))
    const read = await example.next(agentInput())
    expect(read).toMatchObject({ calls: [{ tool: 'bash', args: { command: 'head -n 1 /etc/hosts' } }] })
    const first = playedTurn(0, read, ['127.0.0.1 localhost'])
    const write = await example.next(agentInput({ transcript: [first] }))
    const call = { tool: 'write_file', args: { path: '/app/first-line.txt', content: '127.0.0.1 localhost' } }
    expect(write).toEqual({ calls: [call] })
    const end = await example.next(agentInput({ transcript: [first, playedTurn(1, write)] }))
    expect(end).toMatchObject({ done: true })
  })

  test.each([
    [`export const agent = 5`, 'expected an Agent with a name and next()'],
    [`export const agent = { name: 'a' }`, 'expected an Agent with a name and next()'],
    [`export const agent = () => null`, 'expected an Agent with a name and next()'],
    [`export const agent = () => { throw new Error('no luck') }`, 'it throws: no luck'],
    [`export const agent = 1; throw new Error('at once')`, 'it throws: at once'],
  ])('%j is agent-invalid', async (source, message) => {
    const parsed = await parse(source)
    await expect(load(parsed)).rejects.toMatchObject({
      code: 'agent-invalid',
      message: expect.stringMatching(`^Agent ./my-agent.ts#agent is not usable: .*${message.replace(/[()]/g, '\\$&')}`),
    })
  })

  test('a bundle with another content than its key says is agent-invalid', async () => {
    const parsed = await parse(`export const agent = { name: 'a', next: async () => ({ done: true }) }`)
    const changed = {
      ...parsed,
      bundle: { key: parsed.bundle?.key ?? '', bytes: Buffer.from('export const agent = 1') },
    }
    await expect(load(changed)).rejects.toMatchObject({ code: 'agent-invalid' })
  })
})

describe('asking', () => {
  const ask = async (next: string, more: Parameters<typeof agentInput>[0] = {}) =>
    (await load(await parse(`export const agent = { name: 'a', next: ${next} }`))).next(agentInput(more))

  test('calls, usage and state pass; fields that are undefined count as absent', async () => {
    const answer = { calls: [{ tool: 'bash', args: { a: [1, null] } }], usage: { inputTokens: 1 }, state: { seen: 2 } }
    const decision = await ask(`async () => ({ ...${JSON.stringify(answer)}, message: undefined })`)
    expect(decision).toStrictEqual(answer)
  })

  test.each([
    ['async () => undefined'],
    ['async () => ({})'],
    ['async () => ({ calls: "ls" })'],
    ['async () => ({ calls: [{ tool: "bash" }] })'],
    ['async () => ({ calls: [{ tool: "bash", args: { at: new Date() } }] })'],
    ['async () => ({ done: true, calls: [] })'],
    ['async () => ({ calls: [], usage: { inputTokens: -1 } })'],
  ])('%s breaks the contract', async (next) => {
    await expect(ask(next)).rejects.toMatchObject({
      code: 'agent-invalid',
      message: expect.stringContaining('expected next() to answer calls or done'),
    })
  })

  test('an error of the agent’s own code is agent-failed', async () => {
    await expect(ask('async () => { throw new Error("bug") }')).rejects.toMatchObject({
      code: 'agent-failed',
      message: 'Agent ./my-agent.ts#agent threw: bug',
    })
    await expect(ask('() => null.x')).rejects.toMatchObject({ code: 'agent-failed' })
  })

  test('an agent may say that its model is unavailable, and for how long', async () => {
    const source = `
      import { RollcallError } from ${JSON.stringify(join(repository, 'agents/index.ts'))}
      const busy = () => { throw new RollcallError('model-unavailable', 'busy', { retryAfterMs: 5 }) }
      const forged = () => { throw new RollcallError('task-invalid', 'not mine to say') }
      export const agent = ({ kind }: { kind: string }) => ({ name: 'a', next: async () => kind === 'busy' ? busy() : forged() })`
    const busy = await load(await parse(source, 'agent', { kind: 'busy' }))
    await expect(busy.next(agentInput())).rejects.toMatchObject({ code: 'model-unavailable', retryAfterMs: 5 })
    const forged = await load(await parse(source, 'agent', { kind: 'forged' }))
    await expect(forged.next(agentInput())).rejects.toMatchObject({ code: 'agent-failed' })
  })

  test('an agent that does not hear the abort does not hold up its worker', async () => {
    const reason = new Error('handed over')
    const abort = new AbortController()
    const pending = ask('() => new Promise(() => {})', { signal: abort.signal })
    abort.abort(reason)
    await expect(pending).rejects.toBe(reason)
  })
})
