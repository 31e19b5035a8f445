import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { buffer, text as textOf } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Call, CallResult, JsonValue } from '../../agents/agent.ts'
import {
  applets,
  fileAppears,
  openTestSandbox,
  uniqueScope,
  until,
  type TestSandbox,
  type TestSandboxOptions,
} from '../../runner/test-sandbox.ts'
import { executeBatch, type BatchContext } from '../execute-batch.ts'
import type { FixtureOrder } from './worker-fixture.ts'

const worker = fileURLToPath(new URL('worker-fixture.ts', import.meta.url))

/** A shell of the image, with what a terminal needs and without it. */
const places: readonly [name: string, options: TestSandboxOptions, hasTerminal: boolean][] = [
  ['bash, script', { shell: 'bash' }, true],
  ['bash, python3', { shell: 'bash', only: ['bash', 'python3', ...applets] }, true],
  ['dash, script', { shell: 'dash', only: ['script', ...applets] }, true],
  ['dash, nothing for a terminal', { shell: 'dash', only: applets }, false],
  ['bash, nothing for a terminal', { shell: 'dash', only: ['bash', ...applets] }, false],
  ['busybox ash, script', { shell: 'busybox', only: ['script'] }, true],
  ['busybox ash, nothing for a terminal', { shell: 'busybox' }, false],
]

/** Of each shell one, with and without a terminal: the rest of the tests takes long. */
const mostPlaces = places.filter((_, at) => [0, 3, 5].includes(at))

let scope: string
let sandbox: TestSandbox
let batch: number
beforeEach(() => {
  scope = uniqueScope()
  batch = 0
})

const contextOf = (more: Partial<BatchContext> = {}): BatchContext => ({
  runner: sandbox.open(),
  scope,
  phase: 1,
  batch: batch++,
  defaultTimeoutMs: 20_000,
  workdir: sandbox.workdir,
  signal: new AbortController().signal,
  ...more,
})

async function call(args: Record<string, JsonValue>, context = contextOf()): Promise<CallResult> {
  const calls: Call[] = [{ tool: 'bash', args: { session: true, ...args } }]
  const [result] = await executeBatch({ calls, mode: 'sequence', stopOnError: false }, context)
  if (result === undefined) throw new Error('no result')
  return result
}

const sh = (command: string, more: Record<string, JsonValue> = {}): Promise<CallResult> => call({ command, ...more })
const path = (name: string): string => join(sandbox.workdir, name)

/** Looks until the text is there; returns all that was shown. */
async function lookFor(pattern: RegExp, shown = ''): Promise<string> {
  for (let rounds = 0; !pattern.test(shown) && rounds < 40; rounds += 1) {
    shown += (await call({ timeout_ms: 250 })).output
  }
  return shown
}

function isAlive(pid: string): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

afterEach(async () => {
  await call({ restart: true })
  await sandbox[Symbol.asyncDispose]()
})

describe.each(places)('%s', (_name, options, hasTerminal) => {
  beforeEach(async () => {
    sandbox = await openTestSandbox(options)
  })

  test('directory, variables, functions, aliases and the last exit code carry over', async () => {
    await sh('mkdir d; cd d; X="a  b"; export Y=exported; f() { echo "f $1 $X"; }\nalias hello="echo hello"')
    const second = await sh("pwd; f 1; sh -c 'echo $Y'\nhello there; (exit 7)")
    expect(second).toMatchObject({ ok: false, outcome: 'exited', exitCode: 7 })
    expect(second.output).toBe(`${path('d')}\nf 1 a  b\nexported\nhello there\n[exit code 7]`)
    expect((await sh('echo $?; false || echo "$?"')).output).toBe('7\n1\n')
  })

  test('a command that outlives its call runs on, is looked at, answered, and the session goes on', async () => {
    const first = await sh('X=1; printf "name? "; read n; echo "hi $n"; cat; echo end', { timeout_ms: 300 })
    expect(first).toMatchObject({ ok: false, outcome: 'running' })
    expect(first.output).toMatch(/^name\? \n\[still running after 0.3 s/)
    expect(await sh('echo no')).toMatchObject({ outcome: 'invalid', output: expect.stringContaining('not run') })
    expect((await call({ input: 'Ann\n' })).output).toMatch(/^hi Ann\n\[still/)
    expect((await call({ input: 'typed', keys: ['C-d'] })).output).toBe('typedend\n')
    expect((await sh('echo $X')).output).toBe('1\n')
    expect((await call({})).output).toBe('[nothing is running in this session]')
  })

  test('an interrupt ends the command and keeps the state, also in loops and functions', async () => {
    await sh('X=kept; cd /')
    for (const command of [
      'touch "$OLDPWD/up"; sleep 60; echo not',
      'while :; do :; done; echo not',
      'f() { while :; do sleep 60; done; }; f; echo not',
    ]) {
      expect((await sh(command, { timeout_ms: 300 })).outcome).toBe('running')
      expect(await call({ keys: ['C-c'], timeout_ms: 10_000 })).toMatchObject({ outcome: 'exited', exitCode: 130 })
    }
    expect((await sh('echo $X; pwd')).output).toBe('kept\n/\n')
  })

  test(
    hasTerminal ? 'a command can have a terminal' : 'a terminal that cannot be made is refused by name',
    async () => {
      const result = await sh('test -t 0 && test -t 1 && echo terminal; stty size', { tty: true })
      if (!hasTerminal) {
        expect(result).toMatchObject({ outcome: 'invalid', output: expect.stringContaining('cannot make a terminal') })
        return
      }
      expect(result.output).toBe('terminal\r\n40 120\r\n')
      await sh('stty -icanon -echo; printf "\\033[2J"; dd bs=1 count=1 2>/dev/null; echo " pressed"', {
        tty: true,
        timeout_ms: 300,
      })
      expect(await lookFor(/pressed/, (await call({ input: 'q' })).output)).toContain('q pressed')
      await sh('stty icanon echo; read x; echo "[$x]"', { tty: true, timeout_ms: 200 })
      expect(await lookFor(/\[line\]/, (await call({ input: 'line\n' })).output)).toContain('[line]')
      expect((await sh('echo "prompt: " >/dev/tty; echo file')).output).toBe('file\nprompt: \r\n')
    },
  )
})

describe.each(mostPlaces)('%s', (_name, options) => {
  beforeEach(async () => {
    sandbox = await openTestSandbox(options)
  })

  test('lines, heredocs, quotes, comments and errors in them leave the session as it is', async () => {
    await sh('X=kept')
    expect((await sh('cat <<E\nhere $X\nE\nfor i in 1 2; do\n  echo $i # " \ndone\necho "open\nquote"')).output).toBe(
      'here kept\n1\n2\nopen\nquote\n',
    )
    const broken = await sh('echo before\nif (')
    expect(broken.ok).toBe(false)
    expect(broken.output).toMatch(/^before\n[^]*(syntax error|Syntax error)/i)
    expect((await sh('set -u; echo $NONE; echo not')).ok).toBe(false)
    expect((await sh('set +u; break; continue; return 3')).exitCode).toBe(3)
    expect((await sh('echo "unclosed')).ok).toBe(false)
    expect((await sh('echo $X')).output).toBe('kept\n')
  })

  test('what a finished command wrote unseen comes with the next call', async () => {
    await sh('until [ -e go ]; do sleep 0.02; done; echo late; touch done; (exit 4)', { timeout_ms: 200 })
    writeFileSync(path('go'), '')
    await fileAppears(path('done'))
    const seen: string[] = []
    await until(async () => {
      const result = await sh('echo next')
      if (result.outcome !== 'invalid') seen.push(result.output)
      return seen.length > 0
    }, 'the command to end')
    expect(seen[0]).toBe(
      '[the command before had ended meanwhile: exit code 4. What it wrote since:]\nlate\n[this command:]\nnext\n',
    )
  })

  test('a top-level exit is told, and the next call begins a new session', async () => {
    await sh('X=1; cd /')
    const left = await sh('echo bye; exit 5')
    expect(left).toMatchObject({ ok: false, outcome: 'exited', exitCode: 5 })
    expect(left.output).toMatch(/^bye\n\[the session has ended with exit code 5/)
    expect((await sh('echo "[$X]"; pwd')).output).toBe(`[]\n${sandbox.workdir}\n`)
    expect((await sh('exec sh -c "echo replaced; exit 6"')).exitCode).toBe(6)
    expect((await sh('set -e\nfalse\necho not')).output).not.toContain('not\n')
    expect((await sh('echo new')).output).toBe('new\n')
  })

  test('10 MB and every byte come through, whole in the spool', async () => {
    const sink = new PassThrough()
    const spooled = buffer(sink)
    const spool: BatchContext['spool'] = (id, stream) => (id.part !== 1 && stream === 'stdout' ? sink : undefined)
    await sh('true')
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
    writeFileSync(path('all'), Buffer.concat(Array.from({ length: 40_000 }, () => bytes)))
    const result = await call({ command: 'cat all' }, contextOf({ spool }))
    expect(result).toMatchObject({ ok: true, exitCode: 0 })
    expect(result.output.length).toBeLessThan(40_000)
    const sum = (content: Buffer): string => createHash('sha256').update(content).digest('hex')
    expect(sum(await spooled)).toBe(sum(readFileSync(path('all'))))
  })

  test('nothing that a command prints or sets can be taken for an answer', async () => {
    await sh("PS1='$ '; PS2='> '; PROMPT_COMMAND='echo prompt'; set -x; alias echo='echo aliased'; printf() { :; }")
    const result = await sh(
      'set +x 2>/dev/null\nfinished 0 - 0 0\n\\echo "finished 0"; \\echo "[exit code 0]"; (exit 3)',
    )
    expect(result.exitCode).toBe(3)
    expect((await sh('exec >log; echo hidden')).ok).toBe(true)
    expect((await sh('set -C; set -f; IFS=/; readonly _x=1 n=2; \\echo still')).output).toBe('still\n')
    expect((await sh('\\echo on')).output).toBe('on\n')
  })

  test('a job left in the background holds up nobody, and sessions of other names are apart', async () => {
    const first = await sh('sleep 60 >/dev/null 2>&1 &\necho $! >pid; X=main; echo begun')
    expect(first.output).toContain('begun\n')
    expect((await call({ session: 'other', command: 'echo "[$X]"' })).output).toBe('[]\n')
    expect((await sh('kill -0 "$(cat pid)" && echo alive; kill "$(cat pid)"')).output).toContain('alive\n')
    await call({ session: 'other', restart: true })
  })

  test('a restart ends the session with what it runs', async () => {
    await sh('X=1; echo $$ >pid; sleep 60', { timeout_ms: 200 })
    expect((await call({ restart: true })).ok).toBe(true)
    const pid = readFileSync(path('pid'), 'utf8').trim()
    await until(() => !isAlive(pid), 'the shell to be gone')
    expect((await sh('echo "[$X]"')).output).toBe('[]\n')
  })

  test('a call that is run again attaches to what the first has done', async () => {
    const context = contextOf()
    const stop = new AbortController()
    const args = { command: 'echo x >>ran; touch up; until [ -e go ]; do sleep 0.02; done; echo done' }
    const first = call(args, { ...context, signal: stop.signal })
    await fileAppears(path('up'))
    stop.abort(new Error('handed over'))
    await expect(first).rejects.toThrow('handed over')
    const again = call(args, { ...context, runner: sandbox.open() })
    writeFileSync(path('go'), '')
    expect(await again).toMatchObject({ ok: true, output: 'done\n' })
    expect(readFileSync(path('ran'), 'utf8')).toBe('x\n')
  })

  test('a worker that is killed while a command of a session runs is followed by one that finds it', async () => {
    await sh('X=kept')
    const command = 'echo "$X" >>ran; touch up; until [ -e go ]; do sleep 0.02; done; echo done; X=changed'
    const { journalDir, outputDir, workdir } = sandbox
    const order: FixtureOrder = {
      journalDir,
      outputDir,
      workdir,
      scope,
      batch: batch++,
      env: {
        PATH: `${join(sandbox.directory, 'bin')}${options.only || options.shell === 'busybox' ? '' : ':/usr/bin:/bin'}`,
      },
      calls: [{ tool: 'bash', args: { session: true, command } }],
    }
    const start = () =>
      spawn(process.execPath, [worker, JSON.stringify(order)], { stdio: ['ignore', 'pipe', 'inherit'] })
    const killed = start()
    await fileAppears(path('up'))
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    const successor = start()
    const printed = textOf(successor.stdout)
    writeFileSync(path('go'), '')
    expect(JSON.parse(await printed)).toMatchObject([{ ok: true, output: 'done\n' }])
    expect(readFileSync(path('ran'), 'utf8')).toBe('kept\n')
    expect((await sh('echo "$X"')).output).toBe('changed\n')
  })

  test('two calls at once do not mix, and one that was killed before it began holds up nobody', async () => {
    await sh('X=kept')
    const [one, two] = await Promise.all([sh('echo one; sleep 0.3'), sh('echo two; sleep 0.3')])
    const outcomes = [one, two].map(({ outcome }) => outcome).toSorted()
    expect(['exited,exited', 'exited,invalid']).toContain(outcomes.join())
    const [folder] = readdirSync('/tmp').filter((name) => name === `.rollcall-${scope}-shell-main`)
    const number = Number(readFileSync(`/tmp/${folder}/n`, 'utf8'))
    writeFileSync(`/tmp/${folder}/${number + 1}.cmd`, 'echo never')
    expect((await sh('echo "$X"')).output).toBe('kept\n')
  })

  test('input that is sent again by the next worker is written once', async () => {
    await sh('while read line; do echo "got $line"; done', { timeout_ms: 200 })
    const context = contextOf()
    expect((await call({ input: 'one\n' }, context)).output).toMatch(/^got one\n\[still/)
    expect((await call({ input: 'one\n' }, { ...context, runner: sandbox.open() })).output).toMatch(/^got one\n\[still/)
    expect((await call({ input: 'two\n', keys: ['C-d'] })).output).toBe('got two\n')
  })

  test('the first command of a session may end it with any exit code: what it wrote is told', async () => {
    const left = await sh('echo out; (exit 127); exit')
    expect(left).toMatchObject({ outcome: 'exited', exitCode: 127 })
    expect(left.output).toMatch(/^out\n\[the session has ended with exit code 127/)
  })

  test('what is written into the files of a session is no exit code, and their removal ends it', async () => {
    const folder = `/tmp/.rollcall-${scope}-shell-main`
    expect((await sh(`echo "1e9 x" >${folder}/1.s; sleep 0.3`)).exitCode).toBe(255)
    await call({ restart: true })
    const removed = await sh(`X=1; echo $$ >pid; rm -r ${folder}; sleep 60`)
    expect(removed).toMatchObject({ outcome: 'lost', output: expect.stringContaining('the session was killed') })
    const pid = readFileSync(path('pid'), 'utf8').trim()
    await until(() => !isAlive(pid), 'the shell to be gone')
    expect((await sh('echo "[$X]"')).output).toBe('[]\n')
  })

  test.each([1, 5])('a session of which process %i is killed is lost, with what it runs', async (field) => {
    await sh('echo $$ >pid')
    const running = sh("echo $$ >>pid; sh -c 'echo $$ >>pid; sleep 60'")
    await until(() => readFileSync(path('pid'), 'utf8').split('\n').length === 4, 'the command to run')
    const folder = `/tmp/.rollcall-${scope}-shell-main`
    process.kill(Number(readFileSync(`${folder}/pid`, 'utf8').trim().split(' ')[field - 1]), 'SIGKILL')
    expect(await running).toMatchObject({ outcome: 'lost', output: expect.stringContaining('the session was killed') })
    const pids = readFileSync(path('pid'), 'utf8').trim().split('\n')
    await until(() => !pids.some(isAlive), 'all of it to be gone')
    expect((await sh('echo new')).output).toBe('new\n')
  })

  test('a directory that somebody else has laid is no session', async () => {
    if (process.getuid?.() !== 0) return
    const folder = `/tmp/.rollcall-${scope}-shell-main`
    mkdirSync(folder)
    chownSync(folder, 65_534, 65_534)
    writeFileSync(`${folder}/pid`, '1 1 - x/1-0-0-1 1\n')
    const refused = await sh('echo not')
    rmSync(folder, { recursive: true })
    expect(refused).toMatchObject({ ok: false, exitCode: 125, output: expect.stringContaining('exists') })
  })
})

test('functions called like the shell’s own words change nothing', async () => {
  sandbox = await openTestSandbox({ shell: 'bash' })
  await sh('command() { :; }; export() { :; }; exit() { :; }; echo() { :; }; builtin() { :; }; (builtin exit 3)')
  expect((await sh('printf "on %s\\n" "$?"; \\false')).output).toBe('on 0\n[exit code 1]')
  expect(await sh('printf "%s\\n" "$?"')).toMatchObject({ ok: true, output: '1\n' })
})

test('what writes without end is ended, and keeps what is kept of it', async () => {
  sandbox = await openTestSandbox({ shell: 'bash' })
  const flood = await sh('X=kept; yes; true', { timeout_ms: 60_000 })
  expect(flood).toMatchObject({ outcome: 'exited' })
  expect(flood.output).toContain('\n[it was killed: it had written more than 256 MiB]\n')
  expect(statSync(`/tmp/.rollcall-${scope}-shell-main/1.out`).size).toBeLessThan(257 * 1024 * 1024)
  expect((await sh('echo $X')).output).toBe('kept\n')
  const own = await sh('X=$(printf %100000s ""); while :; do echo "$X$X$X$X"; done', { timeout_ms: 60_000 })
  expect(own).toMatchObject({ outcome: 'lost', output: expect.stringContaining('256 MiB') })
  expect((await sh('echo new')).output).toBe('new\n')
})
