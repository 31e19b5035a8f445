import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { ExecId } from '../protocol/exec.ts'
import type { ExecRequest } from './runner.ts'
import { attachArgv, supervisorArgv } from './scripts.ts'
import { fileAppears, openTestSandbox, processesNaming, shells, uniqueScope, until } from './test-sandbox.ts'

const scope = uniqueScope()
const otherScope = uniqueScope()
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

const text = (output: { head: Buffer; tail: Buffer }): string => output.head.toString() + output.tail.toString()

test('the scripts stay far below what one argument may hold', () => {
  const places = { journalDir: '/j', outputDir: '/o' }
  for (const argv of [supervisorArgv({ ...places, lifetimeMs: 1 }), attachArgv({ ...places, workdir: '/' })]) {
    expect(argv[0]).toBe('sh')
    expect(argv[2]?.length).toBeLessThan(20_000)
  }
})

describe.each(shells)('%s', (shell) => {
  test('a command gives its streams apart, its exit code and its time', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const result = await sandbox.open().exec(request(0, 'echo out; echo err >&2; sleep 0.1; exit 3'))
    expect(result.outcome).toEqual({ type: 'exited', code: 3 })
    expect([text(result.stdout), text(result.stderr)]).toEqual(['out\n', 'err\n'])
    expect(result.durationMs).toBeGreaterThanOrEqual(90)
  })

  test('output arrives byte for byte, short or long, text or not, and whichever descriptor wrote it', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const texts = [
      '',
      'hi',
      '\n',
      '\n\n a\\nb\t %s $x `y` "\' \n\n',
      ' hi ',
      '-n\n',
      'Áß€\n',
      '\0',
      'a\0b\n',
      'a\n\0',
      '\0\0a',
    ]
    const lines = [1022, 1023, 1024, 1025].flatMap((length) => ['x'.repeat(length), `${'x\n'.repeat(length / 2)}y`])
    const outputs = [...texts, ...lines].map((content) => Buffer.from(content)).concat(allBytes, allBytes.subarray(1))
    const results = await Promise.all(
      outputs.map((stdin, call) => runner.exec(request(call, 'cat', { stdin })).then(({ stdout }) => stdout.head)),
    )
    expect(results).toEqual(outputs)
    const scripts = [
      'echo a; echo longer >/proc/self/fd/1',
      'echo b >>/proc/self/fd/1',
      'echo c; printf "d\\0" >>/proc/self/fd/1',
    ]
    const others = await Promise.all(
      scripts.map((script, call) => runner.exec(request(100 + call, `${script}; echo e >&2`))),
    )
    expect(others.map(({ stdout }) => text(stdout))).toEqual(['longer\n', 'b\n', 'c\nd\0'])
    expect(others.map(({ stderr }) => text(stderr))).toEqual(['e\n', 'e\n', 'e\n'])
  })

  test('hello tells what the sandbox offers', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const hello = await sandbox.open().hello()
    expect(hello).toEqual({ bash: shell !== 'busybox', tar: true, workdir: sandbox.workdir, uid: process.getuid?.() })
  })

  test('script, directory, environment and input are data, whatever characters they have', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const cwd = join(sandbox.workdir, '-a \'b\' $(touch pwned)\n"c" Áß€')
    mkdirSync(cwd)
    const result = await sandbox.open().exec(
      request(0, `pwd; printf '%s|' "$ODD" 'it'"'"'s'\nprintf '%s\n' "last line"; cat`, {
        cwd,
        env: {
          ODD: `a'b"c\n$(touch pwned) \\ Á`,
          'with.dot': '1',
          PATH: `${process.env['PATH']}:${sandbox.directory}/bin`,
        },
        stdin: Buffer.from('in\0put'),
      }),
    )
    expect(text(result.stdout)).toBe(`${cwd}\na'b"c\n$(touch pwned) \\ Á|it's|last line\nin\0put`)
    expect(readdirSync(sandbox.workdir)).toEqual([cwd.slice(sandbox.workdir.length + 1)])
  })

  test('a command finds default signals, the marker and none of the runner’s descriptors', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const result = await sandbox.open().exec(
      request(
        0,
        'grep SigIgn /proc/self/status; echo "$ROLLCALL_EXEC"; ls -l /proc/self/fd; cat /proc/self/oom_score_adj; umask',
        {
          env: { LC_ALL: 'C' },
        },
      ),
    )
    const out = text(result.stdout)
    expect(out).toMatch(/^SigIgn:\t0000000000000000\n/)
    expect(out).toContain(`\n${scope}/1-0-0-0\n`)
    expect(out).toMatch(/\n1000\n0?022\n$/)
    expect(out).not.toMatch(/lock\.|wake|[89] -> .*journal/)
  })

  test('a missing directory is exit code 1 with a message', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const result = await sandbox.open().exec(request(0, 'echo ran', { cwd: '/no/such' }))
    expect(result.outcome).toEqual({ type: 'exited', code: 1 })
    expect(text(result.stderr)).toContain('/no/such')
  })

  test('at its timeout a command dies with its whole tree, also what called setsid', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const script = 'sleep 100 & setsid sleep 101 & (setsid sh -c "sleep 102; :" &) ; echo started; sleep 103'
    const result = await sandbox.open().exec(request(0, script, { timeoutMs: 400 }))
    expect(result.outcome).toEqual({ type: 'timed-out' })
    expect(text(result.stdout)).toBe('started\n')
    expect(text(result.stderr)).toBe('')
    expect(result.durationMs).toBeGreaterThanOrEqual(400)
    expect(result.durationMs).toBeLessThan(5_000)
    expect(processesNaming(`ROLLCALL_EXEC=${scope}/`)).toEqual([])
  })

  test('timeouts of many commands are kept, each at its time', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const timeouts = [900, 300, 600, 60_000]
    const results = await Promise.all(
      timeouts.map((timeoutMs, call) =>
        runner.exec(request(call, call === 3 ? 'sleep 1.2' : 'sleep 50', { timeoutMs })),
      ),
    )
    expect(results.map((result) => result.outcome.type)).toEqual(['timed-out', 'timed-out', 'timed-out', 'exited'])
    for (const [index, timeoutMs] of [900, 300, 600].entries()) {
      expect(results[index]?.durationMs).toBeGreaterThanOrEqual(timeoutMs)
      expect(results[index]?.durationMs).toBeLessThan(timeoutMs + 2_000)
    }
  })

  test('exit codes 143 and 137 are no timeouts', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const scripts = ['exit 143', 'kill -TERM $$', 'exit 137', 'kill -KILL $$']
    const results = await Promise.all(scripts.map((script, call) => runner.exec(request(call, script))))
    expect(results.map((result) => result.outcome)).toEqual(
      [143, 143, 137, 137].map((code) => ({ type: 'exited', code })),
    )
  })

  test('a background child that keeps stdout open does not delay the answer', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const result = await runner.exec(request(0, 'sleep 60 & echo "$!" >pid; echo now'))
    expect(text(result.stdout)).toBe('now\n')
    const pid = Number(readFileSync(join(sandbox.workdir, 'pid'), 'utf8'))
    await runner.stop({ scope })
    expect(() => process.kill(pid, 0), 'a daemon of an ended command stays').not.toThrow()
    process.kill(pid, 'SIGKILL')
  })

  test('stop ends running commands of its scope or id, and only these', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const sleeper = 'setsid sleep 100 & echo >>up; sleep 100'
    const calls = [0, 1, 10].map((call) => runner.exec(request(call, sleeper)))
    const other = runner.exec({ ...request(0, sleeper), id: id(0, { scope: otherScope }) })
    const up = join(sandbox.workdir, 'up')
    await until(() => existsSync(up) && readFileSync(up).length === 4, 'four commands to run')
    await runner.stop({ scope, id: id(1) })
    expect((await calls[1])?.outcome).toEqual({ type: 'signaled', signal: 'SIGKILL' })
    expect(processesNaming(`ROLLCALL_EXEC=${scope}/1-0-10-0`).length).toBeGreaterThan(0)
    await runner.stop({ scope })
    expect(processesNaming(`ROLLCALL_EXEC=${scope}/`)).toEqual([])
    expect((await Promise.all(calls)).map((result) => result.outcome.type)).toEqual(Array(3).fill('signaled'))
    expect(processesNaming(`ROLLCALL_EXEC=${otherScope}/`).length).toBeGreaterThan(0)
    await runner.stop({ scope: otherScope })
    expect((await other).outcome.type).toBe('signaled')
  })

  test('stop before a phase leaves that phase running', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const agent = runner.exec({ ...request(0, 'echo >>up; sleep 100'), id: id(0, { phase: 1 }) })
    const tests = runner.exec({ ...request(0, 'echo >>up; sleep 100'), id: id(0, { phase: 2 }) })
    const up = join(sandbox.workdir, 'up')
    await until(() => existsSync(up) && readFileSync(up).length === 2, 'two commands to run')
    await runner.stop({ scope, beforePhase: 2 })
    expect((await agent).outcome).toEqual({ type: 'signaled', signal: 'SIGKILL' })
    expect(processesNaming(`ROLLCALL_EXEC=${scope}/2-0-0-0`).length).toBeGreaterThan(0)
    await runner.stop({ scope })
    expect((await tests).outcome.type).toBe('signaled')
  })

  test('200 MB of output are counted, head and tail kept, and all of it given to a sink', async () => {
    await using sandbox = await openTestSandbox({ shell })
    let sunk = 0
    let most = 0
    const before = process.memoryUsage.rss()
    const stdoutSink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        sunk += chunk.length
        most = Math.max(most, process.memoryUsage.rss() - before)
        setImmediate(done)
      },
    })
    const script = 'echo first; yes 0123456789abcde | head -c 200000000; echo last'
    const { stdout } = await sandbox.open().exec(request(0, script, { stdoutSink, captureBytes: 1_000 }))
    expect(stdout).toMatchObject({ bytes: 200_000_011, truncated: true })
    expect([stdout.head.length, stdout.tail.length, sunk]).toEqual([1_000, 1_000, 200_000_011])
    expect(stdout.head.toString()).toMatch(/^first\n0123/)
    expect(stdout.tail.toString()).toMatch(/cde\nlast\n$/)
    expect(most).toBeLessThan(150_000_000)
  })

  test('output is bytes', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
    const result = await sandbox.open().exec(request(0, 'cat; cat /proc/self/fd/0 >/dev/null', { stdin: bytes }))
    expect(result.stdout.head.equals(bytes)).toBe(true)
  })

  test('a command of 1 MiB runs', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const script = `x=$(cat)\nset -- ${'# '.padEnd(1_048_576, 'Á long comment; ')}\necho "got $x"`
    const result = await sandbox.open().exec(request(0, script, { stdin: Buffer.alloc(200_000, 'i') }))
    expect(text(result.stderr)).toBe('')
    expect(result.outcome).toEqual({ type: 'exited', code: 0 })
    expect(result.stdout.bytes).toBe(200_005)
  })

  test.skipIf(!isRoot)('a command runs as the user asked for, who cannot read the journal', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const script = `id -u; id -g; echo "$HOME"; ls '${sandbox.journalDir}' || echo "$?"; cat`
    const byName = await runner.exec(request(0, script, { user: 'nobody', stdin: Buffer.from('input') }))
    expect(text(byName.stdout)).toMatch(/^65534\n65534\n\/nonexistent\n[12]\ninput$/)
    const byNumber = await runner.exec(request(1, 'id -u', { user: '65534' }))
    expect(text(byNumber.stdout)).toBe('65534\n')
    const unlisted = runner.exec(request(3, 'id -u; id -g', { user: '4321' }))
    if (shell === 'busybox') await expect(unlisted).rejects.toMatchObject({ code: 'runtime-unsupported' })
    else expect(text((await unlisted).stdout)).toBe('4321\n0\n')
    await expect(runner.exec(request(2, 'id', { user: 'nonesuch' }))).rejects.toMatchObject({
      code: 'runtime-unsupported',
      message: expect.stringContaining('"nonesuch"'),
    })
  })

  test('at SIGTERM the supervisor ends what runs, and itself', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const result = sandbox.open().exec(request(0, 'touch up; setsid sleep 100; sleep 100'))
    await fileAppears(join(sandbox.workdir, 'up'))
    sandbox.supervisor.kill('SIGTERM')
    await until(() => sandbox.supervisor.exitCode !== null, 'the supervisor to end')
    expect(sandbox.supervisor.exitCode).toBe(143)
    await result.catch(() => undefined)
    expect(processesNaming(`ROLLCALL_EXEC=${scope}/`)).toEqual([])
  })

  test('the supervisor starts the child, outlives it, and ends itself at the end of its lifetime', async () => {
    await using sandbox = await openTestSandbox({ shell, child: ['sh', '-c', 'exit 7'], lifetimeMs: 1_000 })
    const runner = sandbox.open()
    await until(() => existsSync(join(sandbox.journalDir, 'child')), 'the child’s exit to be recorded')
    expect(readFileSync(join(sandbox.journalDir, 'child'), 'utf8')).toBe('exited 7\n')
    const result = runner.exec(request(0, 'sleep 100'))
    await expect(result.then(({ outcome }) => outcome.type)).resolves.toMatch(/signaled/)
    await until(() => sandbox.supervisor.exitCode !== null, 'the supervisor to end')
    await expect(runner.exec(request(1, 'true'))).rejects.toMatchObject({ code: 'sandbox-lost' })
  })
})
