import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { ExecId } from '../protocol/exec.ts'
import type { Runner } from './runner.ts'
import { fileAppears, openTestSandbox, processesNaming, shells, uniqueScope, until } from './test-sandbox.ts'

const scope = uniqueScope()
const id = (call: number, batch = 0): ExecId => ({ scope, phase: 1, batch, call, part: 0 })
const text = ({ head, tail }: { head: Buffer; tail: Buffer }): string => head.toString() + tail.toString()

const open = (runner: Runner, call: number, script: string) =>
  runner.exec({ id: id(call), script, input: 'open', timeoutMs: 30_000 })

/** Bytes that no two places of are alike. */
const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (at * 7 + (at >> 8)) % 256))

describe.each(shells)('%s', (shell) => {
  test('input is given to a running command as it comes, binary too, until its end', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const result = open(runner, 0, 'read -r first; echo "got $first"; cat')
    expect(await runner.writeInput({ id: id(0), offset: 0, bytes: Buffer.from('one\n') })).toBe('written')
    await until(async () => {
      const { stdout } = await runner.readOutput({ id: id(0), stdout: 0, stderr: 0 })
      return stdout.toString() === 'got one\n'
    }, 'the answer')
    const rest = bytesOf(300_000)
    expect(await runner.writeInput({ id: id(0), offset: 4, bytes: rest.subarray(0, 1000) })).toBe('written')
    expect(await runner.writeInput({ id: id(0), offset: 1004, bytes: rest.subarray(1000), end: true })).toBe('written')
    const { outcome, stdout } = await result
    expect(outcome).toEqual({ type: 'exited', code: 0 })
    expect(stdout.bytes).toBe(8 + rest.length)
    expect(stdout.head.subarray(8, 60_000)).toEqual(rest.subarray(0, 59_992))
    expect(await runner.writeInput({ id: id(0), offset: 300_004, bytes: Buffer.from('x') })).toBe('ended')
  })

  test('the same input sent again, by other workers and at once, is written once', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const result = open(sandbox.open(), 0, 'cat')
    const piece = (at: number) => ({ id: id(0), offset: at * 1000, bytes: Buffer.alloc(1000, at), end: at === 3 })
    for (const at of [0, 1, 2, 3]) {
      const outcomes = await Promise.all([0, 1, 2].map(() => sandbox.open().writeInput(piece(at))))
      expect(outcomes.every((outcome) => outcome === 'written' || (at === 3 && outcome === 'ended'))).toBe(true)
    }
    expect((await result).stdout.head).toEqual(Buffer.concat([0, 1, 2, 3].map((at) => Buffer.alloc(1000, at))))
  })

  test('a worker that dies while it writes leaves the input whole or absent', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const streams: Duplex[] = []
    const dying = sandbox.open({
      connect: async () => {
        const stream = await sandbox.connect()
        streams.push(stream)
        return stream
      },
    })
    const result = open(sandbox.open(), 0, 'echo up >up; cat')
    await fileAppears(join(sandbox.workdir, 'up'))
    await dying.hello()
    const bytes = bytesOf(200_000)
    const lost = dying.writeInput({ id: id(0), offset: 0, bytes, end: true }).catch(() => 'lost')
    streams[0]?.destroy()
    dying.close()
    await lost
    const again = await sandbox.open().writeInput({ id: id(0), offset: 0, bytes, end: true })
    expect(['written', 'ended']).toContain(again)
    expect((await result).stdout.bytes).toBe(bytes.length)
  })

  test('input that cannot be taken is refused by what is wrong with it', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const closed = runner.exec({ id: id(0), script: 'until [ -e go ]; do sleep 0.02; done', timeoutMs: 30_000 })
    const opened = open(runner, 1, 'cat; until [ -e go ]; do sleep 0.02; done')
    const x = Buffer.from('x')
    expect(await runner.writeInput({ id: id(0), offset: 0, bytes: x })).toBe('closed')
    expect(await runner.writeInput({ id: id(1), offset: 5, bytes: x })).toBe('gap')
    expect(await runner.writeInput({ id: id(1), offset: 0, bytes: x, end: true })).toBe('written')
    expect(await runner.writeInput({ id: id(1), offset: 1, bytes: x })).toBe('closed')
    writeFileSync(join(sandbox.workdir, 'go'), '')
    expect(text((await opened).stdout)).toBe('x')
    await closed
  })

  test('output is read while it comes, from any place, and says whether more may follow', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const script = 'printf abcdef; printf err >&2; touch up; until [ -e go ]; do sleep 0.02; done; printf ghi'
    const result = runner.exec({ id: id(0), script, timeoutMs: 30_000 })
    await fileAppears(join(sandbox.workdir, 'up'))
    expect(await runner.readOutput({ id: id(0), stdout: 2, stderr: 1 })).toEqual({
      state: 'running',
      stdout: Buffer.from('cdef'),
      stderr: Buffer.from('rr'),
      stdoutBytes: 6,
      stderrBytes: 3,
    })
    writeFileSync(join(sandbox.workdir, 'go'), '')
    await result
    const read = await sandbox.open().readOutput({ id: id(0), stdout: 6, stderr: 3 })
    expect(read).toMatchObject({ state: 'ended', stdout: Buffer.from('ghi'), stdoutBytes: 9 })
  })

  test('a signal reaches the command’s group, once for each number', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const script = "trap 'echo usr' USR1; trap 'echo int; exit 9' INT; touch up; while :; do sleep 0.02; done"
    const result = runner.exec({ id: id(0), script, timeoutMs: 30_000 })
    await fileAppears(join(sandbox.workdir, 'up'))
    const usr = { id: id(0), signal: 'USR1', number: 1 } as const
    expect(await runner.signal(usr)).toBe('sent')
    await until(
      async () => (await runner.readOutput({ id: id(0), stdout: 0, stderr: 0 })).stdoutBytes === 4,
      'the trap',
    )
    expect(await sandbox.open().signal(usr)).toBe('again')
    expect(await runner.signal({ id: id(0), signal: 'INT', number: 2 })).toBe('sent')
    expect((await result).outcome).toEqual({ type: 'exited', code: 9 })
    expect(text((await result).stdout)).toBe('usr\nint\n')
    expect(await runner.signal({ id: id(0), signal: 'INT', number: 3 })).toBe('ended')
  })

  test('a command with open input that is stopped, or never reads, leaves nothing, and is forgotten whole', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const stuck = open(runner, 0, 'touch up; exec sleep 60')
    await fileAppears(join(sandbox.workdir, 'up'))
    expect(await runner.writeInput({ id: id(0), offset: 0, bytes: bytesOf(200_000) })).toBe('written')
    await runner.stop({ scope, id: id(0) })
    expect((await stuck).outcome).toEqual({ type: 'signaled', signal: 'SIGKILL' })
    await until(() => processesNaming(`${scope}/1-0-0-0`).length === 0, 'its processes to be gone')
    const files = (): string[] =>
      readdirSync(join(sandbox.outputDir, scope)).filter((name) => name.startsWith('1-0-0-0'))
    expect(files().length).toBeGreaterThan(3)
    const later = sandbox.open()
    later.acknowledge({ scope, phase: 1, batch: 1 })
    await later.exec({ id: id(0, 1), script: 'true', timeoutMs: 30_000 })
    await until(() => files().length === 0, 'its files to be forgotten')
  })
})
