import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, copyFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { commandsScript, leftBehind, listProcessesScript, parseProcesses } from './process-list.ts'

/** As seen in a container: init, supervisor with its timer, an attachment, the lister's supervisor, the lister. */
const docker = ['1 0 1', '6 1 1', '16 6 1', '17 16 1', '18 0 18', '52 1 18', '53 52 53']
/** As seen in bubblewrap: the attach loop has a session of its own below the supervisor. */
const local = ['1 0 1', '3 1 1', '10 1 1', '11 10 11', '15 1 15', '44 1 15', '53 44 53']

const printed = (lines: readonly string[]) => ['53', ...lines, 'steady', ''].join('\n')

function found(lines: readonly string[]): number[] | undefined {
  const list = parseProcesses(printed(lines))
  return list && leftBehind(list).map(({ pid }) => pid)
}

test.each([{ lines: docker }, { lines: local }])('Rollcall’s own processes are not left behind', ({ lines }) => {
  expect(found(lines)).toEqual([])
})

test.each([{ lines: docker }, { lines: local }])('an orphan and its children are left behind', ({ lines }) => {
  expect(found([...lines, '46 1 46', '47 46 46', '48 1 45'])).toEqual([46, 47, 48])
})

test('processes that are each other’s parents are left behind', () => {
  expect(found([...docker, '60 61 60', '61 60 60'])).toEqual([60, 61])
})

test.each([
  ['was cut short', printed(docker).slice(0, 20)],
  ['came to nothing', ''],
  ['lacks the lister', printed(docker.slice(0, -1))],
  ['lacks process 1', printed(docker.slice(1))],
  ['has a line that is no process', printed([...docker, '60 (a'])],
  ['was not steady', printed(docker).replace('steady', 'unsteady')],
])('a list that %s is none', (_, text) => {
  expect(parseProcesses(text)).toBeUndefined()
})

/** The script in a PID namespace of its own, which a shell with `before` shares. */
async function listBeside(before: string, shell = 'sh'): Promise<string> {
  const script = `mount -t proc proc /proc\n${before}\n${shell} -c "$LIST"\ntrue`
  const { stdout } = await promisify(execFile)(
    'unshare',
    ['--user', '--map-root-user', '--pid', '--fork', '--mount', 'sh', '-c', script],
    { env: { ...process.env, LIST: listProcessesScript } },
  )
  return stdout
}

test.each(['dash', 'bash', 'busybox sh'])('the list of a quiet machine is whole in %s', async (shell) => {
  const list = parseProcesses(await listBeside('sleep 60 >/dev/null &', shell))
  expect(list?.processes.map(({ pid }) => pid)).toHaveLength(3)
})

test('a process whose name has a newline, a blank and a bracket in it is listed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-names-'))
  try {
    await copyFile('/bin/sleep', join(folder, 'a\n) Z b'))
    const list = parseProcesses(await listBeside(`"${folder}"/a* 60 >/dev/null &`))
    expect(list?.processes.map(({ parent }) => parent)).toEqual([0, 1, 1])
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a process that has a new pid whenever somebody looks is seen, or the list is none', async () => {
  const hopper = String.raw`$SIG{CHLD} = "IGNORE"; while (1) { exit if fork }`
  const list = parseProcesses(await listBeside(`perl -e '${hopper}' >/dev/null 2>&1 &`))
  // Without it there are process 1 and the lister.
  expect(list?.processes.length).not.toBe(2)
})

test('command lines are told one per line, those of processes that are gone as empty ones', async () => {
  const child = spawn('sleep', ['61.5'])
  try {
    const { stdout } = await promisify(execFile)('sh', ['-c', commandsScript([child.pid ?? 0, 4194999])])
    expect(stdout).toBe('sleep 61.5 \n\n')
  } finally {
    child.kill()
  }
})
