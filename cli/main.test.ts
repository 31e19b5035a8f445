import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, open, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { beforeAll, afterAll, describe, expect, test } from 'vitest'
import { rolloutResult } from '../results/fixtures/rollout-result.ts'
import { summarizeResults } from '../results/summary.ts'
import { createFileStore } from '../store/file-store.ts'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { jobKey, planKey, resultKey, summaryKey } from '../store/keys.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))

let home = ''

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-main-'))
})

afterAll(() => rm(home, { recursive: true }))

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command as its own process, in a home of its own. */
async function rollcall(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], {
    env: {
      PATH: process.env['PATH'],
      ROLLCALL_STATE_DIR: join(home, 'state'),
      ROLLCALL_CACHE_DIR: join(home, 'cache'),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exited])
  return { code, stdout, stderr }
}

test('the help needs no package but those that parse and color it', async () => {
  const hook = `import { registerHooks } from 'node:module'
    registerHooks({ load: (url, context, next) => (process.stderr.write(url + '\\n'), next(url, context)) })`
  const { stdout, stderr } = await rollcall(['--help'], {
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(hook)}`,
  })
  expect(stdout).toContain('Usage: rollcall')
  const packages = [...stderr.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)\//g)].map(([, name]) => name)
  expect(new Set(packages)).toEqual(new Set(['commander', 'picocolors']))
})

describe('bad input is one sentence on stderr, exit code 2 and nothing on stdout', () => {
  const tasks = fileURLToPath(new URL('../examples/tasks', import.meta.url))
  test.concurrent.each<[string[], string, Record<string, string>?]>([
    [['rnu'], "Unknown command 'rnu' (Did you mean run?)"],
    [['run', 'x', '--agnt', 'nop'], "Unknown option '--agnt' (Did you mean --agent?)"],
    [['run'], 'No taskset is named'],
    [['run', '/no/such/folder', '--job', 'x'], 'Taskset "/no/such/folder" does not exist'],
    [['run', tasks, '-k', 'many'], '--attempts is "many": expected a whole number from 1 to 1000'],
    [['run', tasks, '--provider', 'dockre'], '--provider is "dockre": expected one of '],
    [['run', tasks, '--local-network'], '--provider is "docker": expected local together with --local-network'],
    [['run', tasks, '--job', 'a/b'], 'Job id is "a/b"'],
    [['run', tasks, '--agent', 'orakle'], 'orakle'],
    [['run', tasks], 'ftp://x', { ROLLCALL_STORE: 'ftp://x' }],
    [['run', tasks], '127.0.0.1:1', { TEMPORAL_ADDRESS: '127.0.0.1:1' }],
    [['worker'], 'No Temporal server answers at 127.0.0.1:1', { TEMPORAL_ADDRESS: '127.0.0.1:1' }],
    [['worker', '--job', 'nope'], 'Job "nope" is not in the store'],
    [['run', tasks, '--agent', './nope.ts'], 'nope.ts, which is no file'],
    [['watch', 'a b'], 'Job id is "a b"'],
    [['results', 'nope'], 'Job "nope" is not in the store'],
    [['report', 'nope'], 'Job "nope" is not in the store'],
    [['report', 'a b'], 'Job id is "a b"'],
    [['report', 'nope', '-o', '/'], '-o is "/": expected a file such as /nope.html'],
    [
      ['schedule', 'create', 'x', tasks, '--cron', '@daily', '--baseline', 'nope'],
      'baseline is "nope", a job that is not',
    ],
    [['status', 'nope'], 'nope'],
    [['cancel', 'nope'], 'nope'],
    [['why', 'nope'], 'Rollout is "nope", which the store'],
    [['shell', 'nope'], 'Rollout is "nope", which the store'],
    [['sweep', '--provider', 'podman'], '--provider is "podman": expected one of '],
    [['sweep'], 'No Temporal server answers at 127.0.0.1:1', { TEMPORAL_ADDRESS: '127.0.0.1:1' }],
    [['validate', '/no/such/folder'], 'Taskset "/no/such/folder" does not exist'],
    [['doctor', '--provider', 'podman'], '--provider is "podman": expected one of local, docker, modal'],
    [['server', 'strat'], "Unknown command 'strat' (Did you mean start?)"],
  ])('rollcall %j', async (args, message, env) => {
    const { code, stdout, stderr } = await rollcall(args, env)
    expect(stderr).toContain(message)
    expect(stderr).not.toMatch(/\n\s+at /)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  })
})

test('all problems of a taskset come at once', async () => {
  for (const task of ['one', 'two']) {
    await mkdir(join(home, 'broken', task), { recursive: true })
    await writeFile(join(home, 'broken', task, 'task.toml'), '[agent]\ntimeout_sec = "long"\n')
  }
  const { code, stderr } = await rollcall(['validate', join(home, 'broken')])
  expect(code).toBe(2)
  expect(stderr).toMatch(/^task one: agent\.timeout_sec is "long": expected /m)
  expect(stderr).toMatch(/^task two: agent\.timeout_sec is "long": expected /m)
})

test('names of tasks cannot speak to the terminal', async () => {
  await mkdir(join(home, 'hostile', 'a\u001b[31m'), { recursive: true })
  await writeFile(join(home, 'hostile', 'a\u001b[31m', 'task.toml'), '')
  const { code, stderr } = await rollcall(['validate', join(home, 'hostile')])
  expect(code).toBe(2)
  expect(stderr).toContain('task a\\e[31m: directory name is')
  expect(stderr).not.toContain('\u001b')
})

test('help and version are no errors', async () => {
  expect(await rollcall(['--version'])).toEqual({ code: 0, stdout: '0.1.0\n', stderr: '' })
  const help = await rollcall(['run', '--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toContain('Examples:')
})

test.each('run status watch results cancel pause resume why shell sweep validate doctor worker server'.split(' '))(
  'the help of %s has an example',
  async (command) => {
    expect((await rollcall([command, '--help'])).stdout).toMatch(new RegExp(`Examples?:\\n  .*rollcall ${command}`))
  },
)

test('results of a finished job are read from the store alone', async () => {
  const storeFolder = join(home, 'state/store')
  const store = createFileStore(storeFolder)
  const results = [
    rolloutResult({ task: 'a', rewards: { reward: 1 } }),
    rolloutResult({ task: 'b', failure: { code: 'sandbox-lost', message: 'gone' } }),
  ]
  const summary = summarizeResults({ job: 'j', results })
  await store.putOnce(jobKey('j'), Buffer.from(JSON.stringify(jobOptions())))
  await store.putOnce(summaryKey('j'), Buffer.from(JSON.stringify(summary)))
  const printed = await rollcall(['results', 'j'])
  expect(printed).toMatchObject({ code: 1, stderr: '' })
  expect(printed.stdout).toContain('b.oracle.1: sandbox-lost')
  expect(JSON.parse((await rollcall(['results', 'j', '--json'])).stdout)).toEqual(summary)
  const elsewhere = await rollcall(['status'], { ROLLCALL_STORE: pathToFileURL(storeFolder).href })
  expect(elsewhere).toMatchObject({ code: 0, stdout: 'j  finished: 1 graded, 1 failed\n' })
})

test('where no server can be asked, the list of jobs says so', async () => {
  const storeFolder = await mkdtemp(join(home, 'asked-'))
  await createFileStore(storeFolder).putOnce(jobKey('j'), Buffer.from(JSON.stringify(jobOptions())))
  const env = { ROLLCALL_STORE: pathToFileURL(storeFolder).href, TEMPORAL_ADDRESS: '127.0.0.1:1' }
  const { code, stdout, stderr } = await rollcall(['status'], env)
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'j  not finished: rollcall status j\n' })
  expect(stderr).toContain(
    'it is not known whether they run, since Temporal was not asked: No Temporal server answers at',
  )
})

describe('doctor', () => {
  const findingsOf = ({ stdout }: Ended) =>
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))

  test('looks at everything and starts nothing', async () => {
    const doctor = await rollcall(['doctor', '--json'])
    const names = findingsOf(doctor).map((finding) => finding.name)
    expect(names).toEqual(expect.arrayContaining(['Node', 'Temporal', 'Store', 'Disk', 'bubblewrap', 'Docker']))
    expect((await rollcall(['server', 'status'])).stdout).toContain('has not been started yet')
  })

  test('names what is missing and what to do, and exits with 1 when the chosen provider needs it', async () => {
    const nothing = { PATH: '/nonexistent', DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
    const doctor = await rollcall(['doctor', '--provider', 'local', '--json'], nothing)
    expect(doctor).toMatchObject({ code: 1, stderr: '' })
    const missing = findingsOf(doctor).filter((finding) => finding.state === 'missing')
    expect(missing.map((finding) => finding.name)).toEqual(['bubblewrap', 'Docker'])
    for (const finding of missing) expect(finding.remedy).toBeTruthy()
  })

  test.each([
    ['a store that cannot be written', { ROLLCALL_STORE: 'file:///dev/null/store' }, 'Store'],
    ['a server that does not answer', { TEMPORAL_ADDRESS: '127.0.0.1:1' }, 'Temporal'],
  ])('%s makes every provider unusable', async (_, env, name) => {
    const doctor = await rollcall(['doctor', '--json'], env)
    expect(doctor.code).toBe(1)
    expect(findingsOf(doctor)).toContainEqual(expect.objectContaining({ name, state: 'missing' }))
  })
})

/** A job that has ended, with these results. */
async function endedJob(job: string, results = [rolloutResult({ task: 'a', rewards: { reward: 1 } })]): Promise<void> {
  const store = createFileStore(join(home, 'state/store'))
  await store.putOnce(jobKey(job), Buffer.from(JSON.stringify(jobOptions())))
  await store.putOnce(planKey(job), Buffer.from(JSON.stringify({ rollouts: results })))
  for (const result of results) await store.putOnce(resultKey(job, result.name), Buffer.from(JSON.stringify(result)))
  await store.putOnce(summaryKey(job), Buffer.from(JSON.stringify(summarizeResults({ job, results }))))
}

test('a job that was cancelled before it was planned is no success', async () => {
  await endedJob('unplanned', [])
  expect((await rollcall(['results', 'unplanned'])).code).toBe(130)
  expect((await rollcall(['status'])).stdout).toContain('unplanned  cancelled before it was planned')
})

test.each(['--help', 'doctor', 'status', 'results full', 'report full -o -'])(
  'a full disk is told: %s',
  async (args) => {
    await endedJob('full')
    const full = await open('/dev/full', 'w')
    const env = { PATH: process.env['PATH'], ROLLCALL_STATE_DIR: join(home, 'state') }
    const child = spawn(process.execPath, [main, ...args.split(' ')], { env, stdio: ['ignore', full.fd, 'pipe'] })
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
    const [stderr, code] = await Promise.all([child.stderr === null ? '' : text(child.stderr), exited])
    await full.close()
    expect(stderr).toContain('no space left on device')
    expect(stderr).not.toMatch(/\n\s+at /)
    expect([1, 2]).toContain(code)
  },
)

test('what is no plain file is written into, and never replaced', async () => {
  await endedJob('written')
  const target = join(home, 'target.html')
  const [link, full] = [join(home, 'link.html'), join(home, 'full.html')]
  await Promise.all([symlink(target, link), symlink('/dev/full', full)])
  expect(await rollcall(['report', 'written', '-o', link])).toEqual({ code: 0, stdout: `${link}\n`, stderr: '' })
  expect(await readFile(target, 'utf8')).toContain('<!doctype html>')
  const refused = await rollcall(['report', 'written', '-o', full])
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain('expected a file that can be written: ENOSPC')
  expect(await readlink(full)).toBe('/dev/full')
})

test('a reader that goes away is no crash', async () => {
  const child = spawn(process.execPath, [main, '--help'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/bin' },
  })
  child.stdout.destroy()
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  expect(await text(child.stderr)).toBe('')
  expect(await exited).toBe(0)
})
