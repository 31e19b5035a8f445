import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGzip } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findTemporal, temporalCliVersion } from './binary.ts'

/** Nothing listens on port 1: the download fails at once, as it does on a machine without internet access. */
const unreachable = 'http://127.0.0.1:1/archives'
const systemPath = '/usr/bin:/bin'

let root: string
let cacheDirectory: string
let progress: string[]
let mirror: Server | undefined

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rollcall-binary-'))
  cacheDirectory = join(root, 'cache')
  progress = []
  mirror = undefined
})

afterEach(async () => {
  mirror?.close()
  await rm(root, { recursive: true, force: true })
})

const find = (env: Record<string, string>) =>
  findTemporal({
    env: { PATH: systemPath, ROLLCALL_TEMPORAL_MIRROR: unreachable, ...env },
    cacheDirectory,
    onProgress: (line) => progress.push(line),
  })

const cached = () => join(cacheDirectory, 'temporal', temporalCliVersion, 'temporal')
const cli = (serverVersion: string) => `#!/bin/sh\necho 'temporal version 1.5.1 (Server ${serverVersion}, UI 2.42.1)'\n`

test('the configured CLI is used before anything else', async () => {
  const path = await program('mine/temporal', cli('1.30.0'))
  await program('path/temporal', cli('1.29.0'))
  const found = await find({ ROLLCALL_TEMPORAL_CLI: path, PATH: `${join(root, 'path')}:${systemPath}` })
  expect(found).toEqual({ path, serverVersion: '1.30.0' })
})

test.each([
  ['is missing', 'missing', /missing, which is not a Temporal CLI that runs here/],
  ['is another program', '/bin/true', /true, which is not a Temporal CLI/],
])('a configured CLI that %s is an error, not a reason to look elsewhere', async (_, path, message) => {
  await expect(find({ ROLLCALL_TEMPORAL_CLI: path })).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringMatching(message) as string,
  })
})

test('a configured CLI with a server that is too old is refused with its version', async () => {
  const path = await program('mine/temporal', cli('1.22.4'))
  await expect(find({ ROLLCALL_TEMPORAL_CLI: path })).rejects.toThrow(/has server 1\.22\.4: .* 1\.28\.0 or later/)
})

test('a CLI on PATH is used; one that is too old is passed over with a word', async () => {
  const old = await program('old/temporal', cli('1.20.0'))
  const path = await program('new/temporal', cli('1.31.2'))
  const found = await find({ PATH: `${join(root, 'old')}:${join(root, 'new')}:${systemPath}` })
  expect(found).toEqual({ path, serverVersion: '1.31.2' })
  expect(progress).toEqual([`ignoring ${old}: its server 1.20.0 is too old`])
})

test('a cached CLI is used without a download or a build', async () => {
  await program(`cache/temporal/${temporalCliVersion}/temporal`, cli('1.29.1'))
  expect(await find({})).toEqual({ path: cached(), serverVersion: '1.29.1' })
  expect(progress).toEqual([])
})

test('the official archive is downloaded into the cache once', async () => {
  const archives = await startMirror({ temporal: cli('1.29.1'), LICENSE: 'MIT' })
  const found = await find({ ROLLCALL_TEMPORAL_MIRROR: archives.url })
  expect(found).toEqual({ path: cached(), serverVersion: '1.29.1' })
  expect(await find({ ROLLCALL_TEMPORAL_MIRROR: archives.url })).toEqual(found)
  expect(archives.requests).toHaveLength(1)
  expect(archives.requests[0]).toMatch(
    new RegExp(`^/v${temporalCliVersion}\\?platform=(linux|darwin)&arch=(amd64|arm64)$`),
  )
})

test('without a download the CLI is built, once, however many ask at the same time', async () => {
  const counter = await fakeGo(cli('1.29.1'))
  const env = { PATH: `${join(root, 'go')}:${systemPath}` }
  const found = await Promise.all([find(env), find(env), find(env)])
  expect(found).toEqual(Array.from({ length: 3 }, () => ({ path: cached(), serverVersion: '1.29.1' })))
  expect(await readFile(counter, 'utf8')).toBe(
    `install -v -trimpath -ldflags -s -w github.com/temporalio/cli/cmd/temporal@v${temporalCliVersion}\n`,
  )
  expect(await readdir(join(cacheDirectory, 'temporal', temporalCliVersion))).toEqual(['temporal'])
  expect(progress.join('\n')).toMatch(/another process is fetching/)
})

test('an archive without the program falls through to the build and leaves nothing half done', async () => {
  const archives = await startMirror({ 'temporal.exe': 'MZ' })
  await fakeGo(cli('1.29.1'))
  await find({ ROLLCALL_TEMPORAL_MIRROR: archives.url, PATH: `${join(root, 'go')}:${systemPath}` })
  expect(progress.join('\n')).toMatch(/no Temporal server by download: the archive holds no program called temporal/)
  expect(await readdir(join(cacheDirectory, 'temporal', temporalCliVersion))).toEqual(['temporal'])
})

test('when every way fails one error says what was tried and what to install', async () => {
  await program('go/go', '#!/bin/sh\necho go version go1.19.8 linux/amd64\n')
  const pending = find({ PATH: `${join(root, 'go')}:${systemPath}` })
  await expect(pending).rejects.toMatchObject({ code: 'configuration-invalid' })
  await expect(pending).rejects.toThrow(
    /download: cannot reach 127\.0\.0\.1:1 .*; build: Go 1\.25 or later is needed, here is "go version go1\.19\.8.*Install/,
  )
})

test('a build that fails reports what Go said last', async () => {
  await program(
    'go/go',
    '#!/bin/sh\n[ $1 = version ] && echo go version go1.26.0 && exit\necho "go: no such module" >&2; exit 1\n',
  )
  await expect(find({ PATH: `${join(root, 'go')}:${systemPath}` })).rejects.toThrow(/failed: no such module/)
})

async function program(name: string, text: string): Promise<string> {
  const path = join(root, name)
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, text)
  await chmod(path, 0o755)
  return path
}

/** A `go` that "builds" the given program and notes each build in the returned file. */
async function fakeGo(built: string): Promise<string> {
  const counter = join(root, 'builds')
  const source = await program('built', built)
  await program(
    'go/go',
    `#!/bin/sh\n[ $1 = version ] && echo go version go1.26.0 linux/amd64 && exit\n` +
      `echo "$*" >> ${counter}\necho "go: downloading example.com/module v1.0.0" >&2\ncp ${source} "$GOBIN/temporal"\n`,
  )
  return counter
}

async function startMirror(files: Record<string, string>): Promise<{ url: string; requests: string[] }> {
  const requests: string[] = []
  mirror = createServer((request, response) => {
    requests.push(request.url ?? '')
    const archive = pack()
    for (const [name, text] of Object.entries(files)) archive.entry({ name, mode: 0o755 }, text)
    archive.finalize()
    archive.pipe(createGzip()).pipe(response)
  })
  mirror.listen(0, '127.0.0.1')
  await once(mirror, 'listening')
  const address = mirror.address()
  if (address === null || typeof address === 'string') throw new Error('the mirror has no port')
  return { url: `http://127.0.0.1:${address.port}`, requests }
}
