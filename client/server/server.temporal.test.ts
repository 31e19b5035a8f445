import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client, Connection } from '@temporalio/client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { cacheDirectory } from '../../protocol/directories.ts'
import { keepServerUp, reviveServer } from './keep-up.ts'
import { serverPaths } from './record.ts'
import { ensureServer, serverStatus, stopServer } from './server.ts'
import type { EmbeddedServer } from './server.ts'

const run = promisify(execFile)
let stateDirectory: string
let progress: string[]

beforeEach(async () => {
  stateDirectory = await mkdtemp(join(tmpdir(), 'rollcall-server-'))
  progress = []
})

afterEach(async () => {
  await stopServer({ stateDirectory, onProgress: () => undefined })
  await rm(stateDirectory, { recursive: true, force: true })
})

const options = () => ({
  stateDirectory,
  cacheDirectory: cacheDirectory(process.env),
  env: process.env,
  onProgress: (line: string) => progress.push(line),
})

test('the server that one call starts is found by the next', async () => {
  const first = await ensureServer(options())
  const second = await ensureServer(options())
  expect(first.startedByUs).toBe(true)
  expect(second).toEqual({ ...first, startedByUs: false })
  expect(progress.join('\n')).toMatch(/looking for .*\nstarting .*\nthe Temporal server is up/)
})

test('the UI answers', async () => {
  const { uiUrl } = await ensureServer(options())
  expect((await fetch(uiUrl)).status).toBe(200)
})

test('a killed server comes back on the same ports with its workflows', async () => {
  const first = await ensureServer(options())
  await startWorkflow(first, 'survivor')
  process.kill(first.pid, 'SIGKILL')
  const second = await ensureServer(options())
  expect(second).toEqual({ ...first, pid: second.pid, startedByUs: true })
  expect(second.pid).not.toBe(first.pid)
  expect(await statusOf(second, 'survivor')).toBe('RUNNING')
})

test('who keeps a server up has it back within seconds after it was killed, again and again', async () => {
  const { pid, address } = await ensureServer(options())
  const kept = new AbortController()
  const keeping = keepServerUp({ ...options(), address, stop: kept.signal })
  try {
    await killUntilBack(await killUntilBack(pid))
  } finally {
    kept.abort()
    await keeping
  }
})

test('a server that was stopped stays down though somebody keeps it up', async () => {
  await ensureServer(options())
  await stopServer(options())
  await reviveServer(options())
  expect((await serverStatus({ stateDirectory })).state).toBe('stopped')
})

test('five processes that ask at once get one server, which outlives them', async () => {
  const asked = Array.from({ length: 5 }, () => askInAnotherProcess())
  const servers = await Promise.all(asked)
  expect(new Set(servers.map(({ pid }) => pid)).size).toBe(1)
  expect(servers.filter(({ startedByUs }) => startedByUs)).toHaveLength(1)
  expect(await serverStatus({ stateDirectory })).toMatchObject({ state: 'running', pid: servers[0]?.pid })
})

test('a server whose starter was killed before it could write a record is adopted', async () => {
  const first = await ensureServer(options())
  await rm(serverPaths.record(stateDirectory))
  const second = await ensureServer(options())
  expect(second).toMatchObject({ pid: first.pid, address: first.address, uiUrl: first.uiUrl })
})

test('a pid that another process has got since is neither trusted nor signalled', async () => {
  const first = await ensureServer(options())
  await stopServer(options())
  const stranger = spawn('sleep', ['600'])
  try {
    await rewriteRecord({ pid: stranger.pid })
    expect((await serverStatus({ stateDirectory })).state).toBe('stopped')
    expect(await stopServer(options())).toEqual({ state: 'not-running' })
    const second = await ensureServer(options())
    expect(second).toMatchObject({ address: first.address, startedByUs: true })
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull()
  } finally {
    stranger.kill()
    await once(stranger, 'exit')
  }
})

test('a server that is suspended is waited for, not started twice', async () => {
  const first = await ensureServer(options())
  process.kill(first.pid, 'SIGSTOP')
  const pending = ensureServer({
    ...options(),
    onProgress: (line) => line.includes('does not answer yet') && process.kill(first.pid, 'SIGCONT'),
  })
  expect(await pending).toEqual({ ...first, startedByUs: false })
})

test('stopping ends the process, and stopping again is fine', async () => {
  const { pid } = await ensureServer(options())
  expect(await stopServer(options())).toEqual({ state: 'stopped', pid })
  expect(await stopServer(options())).toEqual({ state: 'not-running' })
  expect((await serverStatus({ stateDirectory })).state).toBe('stopped')
})

test('the log of the start before is kept, older ones are not', async () => {
  await ensureServer(options())
  const status = await serverStatus({ stateDirectory })
  if (status.state === 'never-started') throw new Error('the server has no record')
  await stopServer(options())
  await writeFile(status.logFile, 'said before')
  await ensureServer(options())
  expect(await readFile(`${status.logFile}.1`, 'utf8')).toBe('said before')
  expect(await readFile(status.logFile, 'utf8')).not.toContain('said before')
})

/** @returns the pid of the next server, once it answers */
async function killUntilBack(pid: number): Promise<number> {
  process.kill(pid, 'SIGKILL')
  return await vi.waitFor(
    async () => {
      const status = await serverStatus({ stateDirectory })
      if (status.state !== 'running' || status.pid === pid) throw new Error(`the server is ${status.state}`)
      return status.pid
    },
    { timeout: 8_000, interval: 50 },
  )
}

async function rewriteRecord(change: { pid: number | undefined }): Promise<void> {
  const file = serverPaths.record(stateDirectory)
  await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), ...change }))
}

async function askInAnotherProcess(): Promise<EmbeddedServer> {
  const program = fileURLToPath(new URL('fixtures/ensure-server.ts', import.meta.url))
  const { stdout } = await run(process.execPath, [program, stateDirectory, cacheDirectory(process.env)])
  return JSON.parse(stdout) as EmbeddedServer
}

async function startWorkflow(server: EmbeddedServer, workflowId: string): Promise<void> {
  await withClient(server, (client) => client.workflow.start('nobody', { taskQueue: 'nobody', workflowId }))
}

async function statusOf(server: EmbeddedServer, workflowId: string): Promise<string> {
  return withClient(server, async (client) => (await client.workflow.getHandle(workflowId).describe()).status.name)
}

async function withClient<T>(server: EmbeddedServer, work: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: server.address })
  try {
    return await work(new Client({ connection, namespace: server.namespace }))
  } finally {
    await connection.close()
  }
}
