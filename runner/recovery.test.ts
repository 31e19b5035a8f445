import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex, Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { ExecId } from '../protocol/exec.ts'
import type { ExecRequest } from './runner.ts'
import { fileAppears, openTestSandbox, processesNaming, shells, uniqueScope, until } from './test-sandbox.ts'

const scope = uniqueScope()
const isRoot = process.getuid?.() === 0

const id = (call: number, more: Partial<ExecId> = {}): ExecId => ({
  scope,
  phase: 1,
  batch: 0,
  call,
  part: 0,
  ...more,
})

const request = (call: number, script: string, more: Partial<ExecRequest> = {}): ExecRequest => ({
  id: id(call),
  script,
  timeoutMs: 30_000,
  ...more,
})

/** Fills the room for processes; the shell itself stays. */
const forkBomb = 'sleep 300 & (while :; do sleep 300 & done); wait'

const text = (output: { head: Buffer; tail: Buffer }): string => output.head.toString() + output.tail.toString()

/** What the main process has said of itself in the journal. */
function supervisorLine(pid = 0): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}\n`
}

/** Attachments of which the first loses the first request that looks like this. */
function losingOnce(pattern: RegExp, connect: () => Promise<Duplex>): () => Promise<Duplex> {
  let isLost = false
  return async () => {
    const stream = await connect()
    const writable = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        const lose = !isLost && pattern.test(chunk.toString())
        isLost ||= lose
        if (!lose) stream.write(chunk)
        done()
      },
      final: (done) => stream.end(done),
      destroy: (error, done) => {
        stream.destroy()
        done(error)
      },
    })
    return Duplex.from({ readable: stream, writable })
  }
}

describe.each(shells)('%s', (shell) => {
  test('the same id runs once, however many channels race for it', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runners = Array.from({ length: 8 }, () => sandbox.open())
    const asked = Array.from({ length: 8 }, (_, call) =>
      runners.map((runner) => runner.exec(request(call, `echo ${call} >>ran; echo out ${call}; exit ${call}`))),
    ).flat()
    const results = await Promise.all(asked)
    for (const [index, result] of results.entries()) {
      const call = Math.floor(index / runners.length)
      expect(result.outcome).toEqual({ type: 'exited', code: call })
      expect(text(result.stdout)).toBe(`out ${call}\n`)
    }
    const again = await sandbox.open().exec(request(3, 'echo 3 >>ran; echo changed'))
    expect(text(again.stdout)).toBe('out 3\n')
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8').split('\n').toSorted().join('')).toBe('01234567')
  })

  test('a stream that is destroyed mid-command is opened again and the command is not', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const streams: Duplex[] = []
    const runner = sandbox.open({
      connect: async () => {
        const stream = await sandbox.connect()
        streams.push(stream)
        return stream
      },
    })
    const result = runner.exec(request(0, 'echo x >>ran; until [ -e go ]; do sleep 0.02; done; echo done'))
    await fileAppears(join(sandbox.workdir, 'ran'))
    streams[0]?.destroy()
    await until(() => streams.length === 2, 'a second attachment')
    writeFileSync(join(sandbox.workdir, 'go'), '')
    expect(text((await result).stdout)).toBe('done\n')
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('x\n')
  })

  test('a killed attachment leaves its commands alone', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const first = runner.exec(request(0, 'echo x >>ran; until [ -e go ]; do sleep 0.02; done; echo done'))
    await fileAppears(join(sandbox.workdir, 'ran'))
    runner.close()
    await expect(first).rejects.toMatchObject({ code: 'provider-unavailable' })
    writeFileSync(join(sandbox.workdir, 'go'), '')
    const second = await sandbox.open().exec(request(0, 'echo never'))
    expect(text(second.stdout)).toBe('done\n')
  })

  test('a command whose supervisor was killed is lost, reported with what it wrote, and never run again', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open({ pingMs: 300 })
    const result = runner.exec(request(0, 'echo x >>ran; echo begun; sleep 100'))
    await fileAppears(join(sandbox.workdir, 'ran'))
    const claim = readFileSync(join(sandbox.journalDir, scope, '1-0-0-0'), 'utf8')
    process.kill(Number(claim.split('\n')[2]?.split(' ')[0]), 'SIGKILL')
    const other = await sandbox.open().exec(request(0, 'echo never'))
    expect(other.outcome).toEqual({ type: 'lost', reason: 'supervisor-gone' })
    expect(text(other.stdout)).toBe('begun\n')
    expect((await result).outcome).toEqual({ type: 'lost', reason: 'supervisor-gone' })
    await sandbox.open().stop({ scope })
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('x\n')
    expect(processesNaming(`ROLLCALL_EXEC=${scope}/1-0-0-0`)).toEqual([])
  })

  test('an answer without end, once given up, keeps nobody waiting', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open({ pingMs: 200 })
    const patience = new AbortController()
    const sink = new Writable({ write: (_chunk, _encoding, done) => (patience.abort(), done()) })
    const endless = { ...request(0, 'echo begun; truncate -s 5T /proc/self/fd/1'), stdoutSink: sink }
    await expect(runner.exec(endless, { signal: patience.signal })).rejects.toThrow()
    expect(text((await runner.exec(request(1, 'echo next'))).stdout)).toBe('next\n')
  })

  test('an answer that is cut in its middle comes again, and a sink gets each byte once', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const streams: Duplex[] = []
    const connect = async () => {
      const stream = await sandbox.connect()
      streams.push(stream)
      return stream
    }
    const received: Buffer[] = []
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (received.push(chunk) === 3) streams[0]?.destroy()
        done()
      },
    })
    const script = 'echo x >>ran; head -c 3000000 /dev/urandom | tee bytes'
    const { outcome, stdout } = await sandbox.open({ connect }).exec({ ...request(0, script), stdoutSink: sink })
    expect([outcome, stdout.bytes, streams.length]).toEqual([{ type: 'exited', code: 0 }, 3_000_000, 2])
    expect(Buffer.concat(received).equals(readFileSync(join(sandbox.workdir, 'bytes')))).toBe(true)
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('x\n')
  })

  test('a request that was lost inside is sent again', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open({ pingMs: 300, connect: losingOnce(/^x /, () => sandbox.connect()) })
    const result = await runner.exec(request(0, 'echo x >>ran'))
    expect(result.outcome).toEqual({ type: 'exited', code: 0 })
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('x\n')
  })

  test('what lies below the acknowledged mark is forgotten and never run', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    await runner.exec(request(0, 'echo first >>ran; echo kept'))
    runner.acknowledge({ scope, phase: 1, batch: 1 })
    runner.acknowledge({ scope, phase: 2, batch: 3 })
    await runner.exec({ ...request(0, 'true'), id: id(0, { phase: 2, batch: 3 }) })
    const stale = sandbox.open()
    stale.acknowledge({ scope, phase: 1, batch: 2 })
    const lost = { type: 'lost', reason: 'acknowledged' }
    for (const below of [id(0), id(7), id(0, { phase: 2, batch: 2 })]) {
      const result = await stale.exec({ ...request(0, 'echo second >>ran'), id: below })
      expect(result.outcome).toEqual(lost)
    }
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('first\n')
    const names = (): string => readdirSync(join(sandbox.journalDir, scope)).toSorted().join(' ')
    await until(() => names() === '.a 2-3-0-0', 'the claims below the mark to be removed')
    expect(readdirSync(join(sandbox.outputDir, scope)).toSorted()).toEqual(['2-3-0-0.err', '2-3-0-0.out'])
  })

  test('what is to be forgotten at once does not wait until it is worth it', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const other = uniqueScope()
    await runner.exec({ ...request(0, 'echo secret'), id: { ...id(0), scope: other } })
    await runner.exec(request(0, 'true'))
    runner.acknowledge({ scope, phase: 2, batch: 0 })
    runner.acknowledge({ scope: other, phase: 2, batch: 0, isToBeForgotten: true })
    await runner.exec({ ...request(0, 'true'), id: id(0, { phase: 2 }) })
    const left = (): string => readdirSync(join(sandbox.outputDir, other)).join(' ')
    await until(() => left() === '', 'the output to be removed')
  })

  test('a sandbox whose main process is held, so that no deadline is kept, is lost and keeps nobody waiting', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open({ pingMs: 100, silenceMs: 500 })
    expect((await runner.exec(request(0, 'exit 7', { timeoutMs: 1 }))).outcome.type).not.toBe('lost')
    sandbox.supervisor.kill('SIGSTOP')
    try {
      const held = runner.exec(request(1, 'sleep 300', { timeoutMs: 200 }))
      await expect(held).rejects.toMatchObject({ code: 'sandbox-lost', message: expect.stringContaining('timeout') })
    } finally {
      sandbox.supervisor.kill('SIGCONT')
    }
    await until(() => processesNaming(`ROLLCALL_EXEC=${scope}/`).length === 0, 'the deadline to be kept at last')
  })

  // bash waits up to 15 s for room before it gives a fork up, and so does what runs in it.
  test.skipIf(!isRoot)(
    'beside a fork bomb deadlines are kept, and the sandbox lives on',
    { timeout: 90_000 },
    async () => {
      await using sandbox = await openTestSandbox({ shell, mostProcesses: 40 })
      const runner = sandbox.open({ pingMs: 500 })
      const first = runner.exec(request(0, 'touch begun; exec sleep 300', { timeoutMs: 1_000 }))
      await fileAppears(join(sandbox.workdir, 'begun'))
      const bomb = runner.exec(request(1, forkBomb, { timeoutMs: 2_000 }))
      expect((await first).outcome).toEqual({ type: 'timed-out' })
      expect((await bomb).outcome).toEqual({ type: 'timed-out' })
      // What the bomb has left may still be dying, and takes up the room for processes meanwhile.
      let call = 1
      await until(async () => {
        call += 1
        const { outcome } = await runner.exec(request(call, 'exit 7'))
        return outcome.type === 'exited' && outcome.code === 7
      }, 'room for a command again')
      expect(sandbox.supervisor.exitCode).toBeNull()
    },
  )

  test.skipIf(!isRoot)('a fork bomb does not outlive the sandbox', { timeout: 90_000 }, async () => {
    await using sandbox = await openTestSandbox({ shell, mostProcesses: 40, lifetimeMs: 2_500 })
    const ended = once(sandbox.supervisor, 'exit')
    const runner = sandbox.open()
    const first = runner.exec(request(0, 'touch begun; exec sleep 300', { timeoutMs: 1_000 }))
    await fileAppears(join(sandbox.workdir, 'begun'))
    const bomb = runner.exec(request(1, forkBomb, { timeoutMs: 600_000 }))
    const outcomes = await Promise.allSettled([first, bomb])
    expect(await ended).toEqual([0, null])
    for (const outcome of outcomes) expect(outcome).not.toMatchObject({ value: { outcome: { type: 'exited' } } })
    await until(() => processesNaming(`ROLLCALL_EXEC=${scope}/`).length === 0, 'the bomb to be gone')
  })

  test.skipIf(!isRoot)('a journal without room is reported, and the command is not started', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    await runner.exec(request(0, 'true'))
    const mount = (): void => {
      const options = ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=12', 'tmpfs', join(sandbox.journalDir, 'small')]
      expect(spawnSync('mount', options).status).toBe(0)
    }
    mkdirSync(join(sandbox.journalDir, 'small'))
    mount()
    try {
      const calls = Array.from({ length: 20 }, (_, call) => ({
        ...request(0, `echo ${call} >>ran`),
        id: id(call, { scope: 'small' }),
      }))
      const results = await Promise.all(calls.map((call) => runner.exec(call)))
      const full = results.filter(({ outcome }) => outcome.type === 'lost' && outcome.reason === 'journal-full')
      const ran = results.filter(({ outcome }) => outcome.type === 'exited' && outcome.code === 0)
      expect(full.length).toBeGreaterThan(0)
      expect(full.length + ran.length).toBe(20)
      expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8').trim().split('\n')).toHaveLength(ran.length)
    } finally {
      spawnSync('umount', [join(sandbox.journalDir, 'small')])
    }
  })

  test.skipIf(!isRoot)(
    'on a full disk what runs keeps its outcome, nothing starts, and it goes on where there is room',
    async () => {
      const disk = mkdtempSync(join(tmpdir(), 'rollcall-disk-'))
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status).toBe(0)
      try {
        const places = { journalDir: join(disk, 'journal'), outputDir: join(disk, 'output') }
        await using sandbox = await openTestSandbox({ shell, ...places })
        const runner = sandbox.open()
        const running = runner.exec(
          request(0, 'echo begun; echo x >>ran; until [ -e go ]; do sleep 0.02; done; echo on; exit 7'),
        )
        await fileAppears(join(sandbox.workdir, 'ran'))
        spawnSync('sh', ['-c', `cat /dev/zero >'${disk}/filler'`], { stdio: 'ignore' })
        writeFileSync(join(sandbox.workdir, 'go'), '')
        expect((await running).outcome).toEqual({ type: 'exited', code: 7 })
        const none = { type: 'lost', reason: 'journal-full' }
        expect((await runner.exec(request(1, 'echo y >>ran'))).outcome).toEqual(none)
        expect((await runner.exec(request(2, 'cat >>ran', { stdin: Buffer.alloc(300_000) }))).outcome).toEqual(none)
        const again = sandbox.open()
        expect((await again.exec(request(0, 'echo never'))).outcome).toEqual({ type: 'exited', code: 7 })
        rmSync(join(disk, 'filler'))
        expect(text((await again.exec(request(3, 'echo room >>ran; cat ran'))).stdout)).toBe('x\nroom\n')
      } finally {
        spawnSync('umount', [disk])
        rmSync(disk, { recursive: true })
      }
    },
  )

  test.each([
    ['all of it', ''],
    ['one scope of it', `/${scope}`],
    ['the way to the main process', '/wake'],
  ])('a journal of which somebody removes %s loses the sandbox, and nothing runs again', async (_, what) => {
    await using sandbox = await openTestSandbox({ shell })
    const removed = join(sandbox.journalDir, what)
    const remove = `echo x >>ran; rm -rf '${removed}'${what === '' ? '/*' : ''}; echo done`
    expect(text((await sandbox.open().exec(request(0, remove))).stdout)).toBe('done\n')
    const others = sandbox.open()
    // Another attachment would wait for a main process that may still be starting.
    if (what === '') writeFileSync(join(sandbox.journalDir, 'supervisor'), supervisorLine(sandbox.supervisor.pid))
    for (const call of [0, 1]) {
      others.acknowledge({ scope, phase: 1, batch: 0 })
      const asked = others.exec(request(call, 'echo again >>ran'))
      await expect(asked).rejects.toMatchObject({ code: 'sandbox-lost', message: expect.stringContaining('journal') })
    }
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('x\n')
  })

  test('a command that removes its own claim keeps its outcome; one whose claim is removed later is lost', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const claim = (call: number): string => join(sandbox.journalDir, scope, `1-0-${call}-0`)
    const runner = sandbox.open()
    await runner.exec(request(0, `echo x >>ran; rm '${claim(0)}'; echo own; exit 7`))
    await runner.exec(request(1, 'echo y >>ran; echo later'))
    await runner.exec(request(2, `rm '${claim(1)}'`))
    for (const other of [sandbox.open(), sandbox.open()]) {
      const own = await other.exec(request(0, 'echo again >>ran'))
      expect([own.outcome, text(own.stdout)]).toEqual([{ type: 'exited', code: 7 }, 'own\n'])
      const later = await other.exec(request(1, 'echo again >>ran'))
      expect([later.outcome, text(later.stdout)]).toEqual([{ type: 'lost', reason: 'supervisor-gone' }, 'later\n'])
    }
    expect(readFileSync(join(sandbox.workdir, 'ran'), 'utf8')).toBe('x\ny\n')
  })

  test('output files that cannot be opened are no exit code', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    await runner.exec(request(0, 'true'))
    mkdirSync(join(sandbox.outputDir, scope, '1-0-1-0.out'))
    const result = await runner.exec(request(1, 'echo x >>ran'))
    expect(result.outcome).toEqual({ type: 'lost', reason: 'journal-full' })
    expect((await sandbox.open().exec(request(1, 'true'))).outcome).toEqual(result.outcome)
    expect(existsSync(join(sandbox.workdir, 'ran'))).toBe(false)
    rmSync(join(sandbox.outputDir, scope, '1-0-1-0.out'), { recursive: true })
  })
})
