import { access, chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { freePort } from './ports.ts'
import { reviveServer } from './keep-up.ts'
import { ensureServer, isStopped, serverStatus, stopServer } from './server.ts'

let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rollcall-server-unit-'))
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

/** A state directory and a program that stands in for the Temporal CLI. */
async function withProgram(start: string) {
  const path = join(root, 'temporal')
  await writeFile(path, `#!/bin/sh\n[ $1 = --version ] && echo 'temporal (Server 1.29.1)' && exit\n${start}\n`)
  await chmod(path, 0o755)
  const directories = { stateDirectory: join(root, 'state'), cacheDirectory: join(root, 'cache') }
  return { ...directories, env: { ROLLCALL_TEMPORAL_CLI: path }, onProgress: () => undefined }
}

test('a server that ends at once is reported with the end of its log', async () => {
  const options = await withProgram('echo first; echo "unable to open database" >&2; exit 1')
  const pending = ensureServer(options)
  await expect(pending).rejects.toMatchObject({ code: 'configuration-invalid' })
  await expect(pending).rejects.toThrow(/ended at once; see .*server\.log\. Its log ends with:\nfirst\nunable to open/)
  expect((await serverStatus(options)).state).toBe('stopped')
})

test('a state directory relative to the working directory is understood', async () => {
  const options = await withProgram('echo "$@"; exit 1')
  const stateDirectory = relative(process.cwd(), options.stateDirectory)
  const pending = ensureServer({ ...options, stateDirectory })
  await expect(pending).rejects.toThrow(`--db-filename ${join(options.stateDirectory, 'server/1.29.1/temporal.db')} `)
})

test('the server gets nothing of the environment of whoever starts it', async () => {
  const options = await withProgram('env; exit 1')
  const env = { ...options.env, OPENAI_API_KEY: 'sk-secret' }
  const error = await ensureServer({ ...options, env }).catch((thrown: unknown) => thrown)
  expect(String(error)).toMatch(/HOME=/)
  expect(String(error)).not.toMatch(/sk-secret/)
})

test('where somebody has removed the state directory no server comes back by itself', async () => {
  const options = await withProgram('exit 1')
  await mkdir(join(options.stateDirectory, 'server'), { recursive: true })
  expect(await isStopped(options.stateDirectory)).toBe(false)
  await rm(options.stateDirectory, { recursive: true })
  expect(await isStopped(options.stateDirectory)).toBe(true)
  await reviveServer(options)
  await expect(access(options.stateDirectory)).rejects.toMatchObject({ code: 'ENOENT' })
})

/** Something else listens on the port that is kept for the server. */
async function withStranger() {
  const options = await withProgram('exit 1')
  const stranger = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void stranger.close())
  await once(stranger, 'listening')
  const address = stranger.address()
  const port = address === null || typeof address === 'string' ? 0 : address.port
  const folder = join(options.stateDirectory, 'server', '1.29.1')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'ports.json'), JSON.stringify({ port, uiPort: await freePort() }))
  return { options, stranger, port }
}

test('a kept port that another program uses is named, with what to do', async () => {
  const { options, port } = await withStranger()
  await expect(ensureServer(options)).rejects.toThrow(
    new RegExp(`Port ${port} is kept for the embedded Temporal server .* delete .*ports\\.json`),
  )
})

test('a port that is given up a little later, as by a killed server, is waited for', async () => {
  const { options, stranger, port } = await withStranger()
  const onProgress = (line: string) => line.includes(`port ${port} of the Temporal server`) && stranger.close()
  await expect(ensureServer({ ...options, onProgress })).rejects.toThrow(/ended at once/)
})

test('where no server was ever started there is none to show and none to stop', async () => {
  expect(await serverStatus({ stateDirectory: root })).toEqual({ state: 'never-started' })
  expect(await stopServer({ stateDirectory: root, onProgress: () => undefined })).toEqual({ state: 'not-running' })
})
