import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CallResult, JsonValue } from '../agents/agent.ts'
import { applets, openTestSandbox, shells, uniqueScope, type TestSandbox } from '../runner/test-sandbox.ts'
import { executeBatch, type BatchContext } from './execute-batch.ts'

let scope: string
let sandbox: TestSandbox
let batch = 0
afterEach(() => sandbox[Symbol.asyncDispose]())

const contextOf = (): BatchContext => ({
  runner: sandbox.open(),
  scope,
  phase: 1,
  batch: batch++,
  defaultTimeoutMs: 20_000,
  workdir: sandbox.workdir,
  signal: new AbortController().signal,
})

async function edit(args: Record<string, JsonValue>, more: Partial<BatchContext> = {}): Promise<CallResult> {
  const calls = [{ tool: 'edit_file', args: { path: 'f', ...args } }]
  const [result] = await executeBatch({ calls, mode: 'sequence', stopOnError: false }, { ...contextOf(), ...more })
  if (result === undefined) throw new Error('no result')
  return result
}

const path = (name: string): string => join(sandbox.workdir, name)
const content = (name = 'f'): string => readFileSync(path(name), 'utf8')

describe.each(shells)('%s', (shell) => {
  beforeEach(async () => {
    scope = uniqueScope()
    sandbox = await openTestSandbox(shell === 'dash' ? { shell, only: applets } : { shell })
  })

  test('lines are shown with their numbers', async () => {
    writeFileSync(path('f'), 'one\ntwo\n\nfour')
    expect((await edit({ command: 'view' })).output).toBe('     1\tone\n     2\ttwo\n     3\t\n     4\tfour')
    expect((await edit({ command: 'view', range: [2, 3] })).output).toBe('     2\ttwo\n     3\t')
    expect((await edit({ command: 'view', range: [9, 12] })).output).toBe('[f has 4 lines]')
    expect(await edit({ command: 'view', range: [3, 2] })).toMatchObject({ outcome: 'invalid' })
  })

  test('a file is created only where there is none', async () => {
    expect((await edit({ command: 'create', path: 'd/new', content: 'x' })).ok).toBe(true)
    expect(content('d/new')).toBe('x')
    expect((await edit({ command: 'create', path: 'd/new', content: 'y' })).output).toContain('is there already')
    expect(content('d/new')).toBe('x')
  })

  test('lines are inserted after the line that is named, with the file’s own line ends', async () => {
    writeFileSync(path('f'), 'a\r\nb\r\n')
    await edit({ command: 'insert', line: 1, new_string: 'x\ny' })
    expect(content()).toBe('a\r\nx\r\ny\r\nb\r\n')
    await edit({ command: 'insert', line: 0, new_string: 'top\n' })
    expect(content()).toBe('top\r\na\r\nx\r\ny\r\nb\r\n')
    expect((await edit({ command: 'insert', line: 9, new_string: 'z' })).output).toContain('has only 5 lines')
    writeFileSync(path('open'), 'a\nb')
    await edit({ path: 'open', command: 'insert', line: 2, new_string: 'c' })
    expect(content('open')).toBe('a\nb\nc')
  })

  test('a replacement matches across line ends of the other kind and keeps them', async () => {
    writeFileSync(path('f'), 'a\r\nb\r\nc')
    expect((await edit({ old_string: 'a\nb', new_string: 'x\ny\nz' })).ok).toBe(true)
    expect(content()).toBe('x\r\ny\r\nz\r\nc')
  })

  test('changes are taken back one after the other, also the making of a file', async () => {
    await edit({ command: 'create', content: 'one two\n' })
    await edit({ old_string: 'one', new_string: '1' })
    await edit({ old_string: 'two', new_string: '2' })
    expect(content()).toBe('1 2\n')
    await edit({ command: 'undo' })
    expect(content()).toBe('1 two\n')
    await edit({ command: 'undo', path: path('f') })
    expect(content()).toBe('one two\n')
    await edit({ command: 'undo' })
    expect(existsSync(path('f'))).toBe(false)
    expect((await edit({ command: 'undo' })).output).toContain('no change of f')
  })

  test('what something else has changed since is not taken back', async () => {
    await edit({ command: 'create', content: 'a' })
    writeFileSync(path('f'), 'changed')
    expect((await edit({ command: 'undo' })).output).toContain('changed since')
    expect(content()).toBe('changed')
  })

  test('a change and an undo that are run again are done once', async () => {
    writeFileSync(path('f'), 'aa')
    const context = contextOf()
    const args = { command: 'insert', line: 0, new_string: 'x' }
    const first = await edit(args, context)
    expect(await edit(args, { ...context, runner: sandbox.open() })).toEqual(first)
    expect(content()).toBe('x\naa')
    const undo = contextOf()
    await edit({ command: 'undo' }, undo)
    await edit({ command: 'undo' }, { ...undo, runner: sandbox.open() })
    expect(content()).toBe('aa')
  })

  test('mode, owner and a link stay as they are', async () => {
    mkdirSync(path('real'))
    writeFileSync(path('real/f'), 'a')
    chmodSync(path('real/f'), 0o751)
    if (process.getuid?.() === 0) chownSync(path('real/f'), 12_345, 12_346)
    symlinkSync('real/f', path('link'))
    expect((await edit({ path: 'link', old_string: 'a', new_string: 'b' })).ok).toBe(true)
    await edit({ path: 'link', command: 'undo' })
    await edit({ path: 'link', old_string: 'a', new_string: 'c' })
    const { mode, uid, gid } = statSync(path('real/f'))
    expect(content('link')).toBe('c')
    expect(mode & 0o777).toBe(0o751)
    if (process.getuid?.() === 0) expect([uid, gid]).toEqual([12_345, 12_346])
  })

  test.each([
    ['what a command does not take', { command: 'undo', content: 'x' }, /does not take it/],
    ['what a command needs', { command: 'insert', new_string: 'x' }, /line/],
    ['a directory', { command: 'view', path: '.' }, /is a directory/],
    ['a file that is not there', { command: 'insert', line: 0, new_string: 'x', path: 'none' }, /does not exist/],
  ])('%s is named', async (_name, args, said) => {
    expect(await edit(args)).toMatchObject({ ok: false, output: expect.stringMatching(said) })
  })

  test('users of one sandbox change files beside each other', async () => {
    if (process.getuid?.() !== 0) return
    chmodSync(sandbox.workdir, 0o777)
    expect((await edit({ command: 'create', content: 'a\n' })).ok).toBe(true)
    expect((await edit({ path: 'g', command: 'create', content: 'a\n' }, { user: 'nobody' })).ok).toBe(true)
    expect((await edit({ path: 'g', command: 'undo' }, { user: 'nobody' })).ok).toBe(true)
  })
})
