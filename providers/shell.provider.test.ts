import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDockerFixture } from './docker/testing/docker-fixture.ts'
import type { DockerFixture } from './docker/testing/docker-fixture.ts'
import type { Provider } from './contract/provider.ts'
import { makeRequest } from './host-sandbox/sandbox-fixture.ts'
import { createLocalProvider } from './local/local-provider.ts'

/** A person in a sandbox, with pipes and with a real terminal, which `script` makes. */

const fixture = fileURLToPath(new URL('../testing/shell-fixture.ts', import.meta.url))
let docker: DockerFixture
let folder = ''
const places: Record<string, { provider: Provider; name: string }> = {}

beforeAll(async () => {
  docker = await openDockerFixture()
  folder = await mkdtemp(join(tmpdir(), 'rollcall-shell-'))
  const overrides = { env: { TASK_SAYS: "it's so" }, workdir: '/srv/work' }
  const local = createLocalProvider({ stateDirectory: folder })
  const requests = { docker: docker.makeRequest(overrides), local: makeRequest(overrides) }
  await Promise.all([docker.provider.createOrAdopt(requests.docker), local.createOrAdopt(requests.local)])
  places['docker'] = { provider: docker.provider, name: requests.docker.name }
  places['local'] = { provider: local, name: requests.local.name }
})

afterAll(async () => {
  await places['local']?.provider.destroy(places['local'].name)
  await docker.dispose()
  await rm(folder, { recursive: true, force: true })
})

function argvOf(kind: string, command?: string): string[] {
  const { name } = places[kind] ?? {}
  return [fixture, JSON.stringify({ provider: kind, stateDirectory: folder, name, command })]
}

function withPipes(kind: string, command?: string): ChildProcess & { stdin: NodeJS.WritableStream } {
  return spawn(process.execPath, argvOf(kind, command), { stdio: ['pipe', 'pipe', 'pipe'] })
}

async function endOf(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  const outputs = [child.stdout, child.stderr].map(async (stream) => (stream === null ? '' : await text(stream)))
  const [stdout = '', stderr = ''] = await Promise.all(outputs)
  return { code: await code, stdout, stderr }
}

/** A terminal of 33 by 77 on which a person types. */
class Terminal {
  readonly ended: Promise<number | null>
  readonly #child: ChildProcess
  #shown = ''

  constructor(kind: string) {
    const [program, order = ''] = argvOf(kind)
    const command = `stty rows 33 cols 77; echo at $(tty); exec '${process.execPath}' '${program}' '${order}'`
    this.#child = spawn('script', ['-qefc', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdout?.setEncoding('utf8').on('data', (shown: string) => (this.#shown += shown))
    this.ended = new Promise((resolve) => this.#child.once('close', resolve))
  }

  async shows(wanted: RegExp): Promise<void> {
    await expect.poll(() => this.#shown, { timeout: 20_000, interval: 20 }).toMatch(wanted)
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys)
  }

  /** As a window does whose corner is dragged. */
  async resize(rows: number, columns: number): Promise<void> {
    const [, device = ''] = /at (\/dev\/\S+)/.exec(this.#shown) ?? []
    await promisify(execFile)('stty', ['-F', device, 'rows', String(rows), 'cols', String(columns)])
  }
}

describe.each(['local', 'docker'])('%s', (kind) => {
  test('a command runs with the environment, in the working directory, and answers with both streams and its code', async () => {
    const child = withPipes(kind, 'echo "$TASK_SAYS in $PWD"; cat; echo oh >&2; exit 7')
    child.stdin.end('typed')
    expect(await endOf(child)).toEqual({ code: 7, stdout: "it's so in /srv/work\ntyped", stderr: 'oh\n' })
  })

  test('without terminal and command the shell runs what it reads', async () => {
    const child = withPipes(kind)
    child.stdin.end('echo $((6*7))\nexit 3\n')
    expect(await endOf(child)).toMatchObject({ code: 3, stdout: '42\n' })
  })

  test('it is inside: what runs there is seen, and nothing of the host’s', async () => {
    const seen = await endOf(withPipes(kind, 'ls /proc | grep -c "^[0-9]*$"; tr "\\0" " " </proc/1/cmdline'))
    expect(Number(seen.stdout.split('\n')[0])).toBeLessThan(15)
    expect(seen.stdout).not.toContain('vitest')
  })

  test('a person with a terminal has one inside, of the same size, with job control, and leaves with exit', async () => {
    const terminal = new Terminal(kind)
    await terminal.shows(/[#$] $/)
    terminal.type('echo size $(stty size) on $(tty) as $TERM\r')
    await terminal.shows(/size 33 77 on \/dev\/pts\/\d+ as xterm/)
    // What it prints shows that it is in the foreground: an interrupt before that is not for it.
    terminal.type("sh -c 'echo run $((6 * 7)); exec sleep 1000'\r")
    await terminal.shows(/run 42/)
    terminal.type('\x03')
    terminal.type('echo code $?\r')
    await terminal.shows(/code 130/)
    await terminal.resize(44, 99)
    terminal.type('until stty size | grep "44 99"; do sleep 0.1; done; echo now large\r')
    await terminal.shows(/^now large/m)
    terminal.type('exit 5\r')
    expect(await terminal.ended).toBe(5)
  })

  test('a shell that is left open dies with the sandbox, whose removal it does not hold up', async () => {
    const { provider, name } = places[kind] ?? {}
    const request = kind === 'docker' ? docker.makeRequest() : makeRequest()
    await provider?.createOrAdopt(request)
    const argv = [fixture, JSON.stringify({ provider: kind, stateDirectory: folder, name: request.name })]
    const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    const answered = new Promise((resolve) => child.stdout.once('data', resolve))
    child.stdin.write('echo here\n')
    await answered
    const ended = new Promise((resolve) => child.once('close', resolve))
    await provider?.destroy(request.name)
    await ended
    await expect(provider?.find(name ?? '')).resolves.toMatchObject({ state: 'running' })
  })
})

test('a shell in a local sandbox can do no more there than its commands can', async () => {
  const bounds = await endOf(withPipes('local', 'grep -E "CapEff|CapBnd|NoNewPrivs" /proc/self/status /proc/1/status'))
  const [own, first] = ['self', '1'].map((pid) =>
    bounds.stdout
      .split('\n')
      .filter((line) => line.startsWith(`/proc/${pid}/`))
      .map((line) => line.replace(/^[^:]*:/, '')),
  )
  expect(own).toHaveLength(3)
  expect(own).toEqual(first)
})

test('there is no other user in a local sandbox, and no way into a dead one', async () => {
  const { provider, name = '' } = places['local'] ?? {}
  const { stdin, stdout, stderr } = process
  const user = { stdin, stdout, stderr, isTerminal: false, terminalType: '', command: 'true' }
  await expect(provider?.shell?.(name, { ...user, user: 'nobody' })).rejects.toMatchObject({
    code: 'runtime-unsupported',
  })
  await expect(provider?.shell?.('no-such-sandbox', user)).rejects.toMatchObject({ code: 'sandbox-lost' })
  await expect(docker.provider.shell?.('no-such-sandbox', user)).rejects.toMatchObject({ code: 'sandbox-lost' })
})
