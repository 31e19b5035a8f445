import { execFile } from 'node:child_process'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { Readable } from 'node:stream'
import { extract, pack } from 'tar-stream'
import { expect, onTestFinished, test } from 'vitest'
import type { ArtifactRecord } from '../protocol/grade.ts'
import { shells, openTestSandbox } from '../runner/test-sandbox.ts'
import type { Shell } from '../runner/test-sandbox.ts'
import { createFileStore } from '../store/file-store.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { ArtifactDownloads } from './artifact-downloads.ts'
import type { WantedArtifact } from './artifact-downloads.ts'
import { plainFiles } from './bring-artifacts.ts'
import { wantedArtifacts } from './collect-artifacts.ts'

/** What a script leaves behind in a real sandbox's working directory, collected from there. */
async function collect(
  script: string,
  artifacts: readonly Partial<WantedArtifact>[],
  { shell = 'bash', maxBytes }: { shell?: Shell; maxBytes?: number } = {},
) {
  const sandbox = await openTestSandbox({ shell })
  onTestFinished(() => sandbox[Symbol.asyncDispose]())
  await promisify(execFile)('bash', ['-c', script], { cwd: sandbox.workdir })
  const store = createFileStore(await temporaryFolder('artifacts'))
  const wanted = artifacts.map(({ source = '', destination = source, exclude = [] }) => ({
    source: `${sandbox.workdir}/${source}`,
    destination,
    exclude,
  }))
  const lease = { provider: 'p', place: 'p', sandbox: 's', incarnation: 1, spec: 's' }
  const at = { job: 'j', storeUrl: store.url, rollout: 'a.nop.1', incarnation: 1, owner: 'o', lease, phase: 3 }
  const { signal } = new AbortController()
  const downloads = () =>
    new ArtifactDownloads(at, { runner: sandbox.open(), signal, store, ...(maxBytes ? { maxBytes } : {}) }).run(wanted)
  const records = await downloads()
  const names = async (record: ArtifactRecord | undefined) =>
    record?.key === undefined ? [] : await namesIn((await store.get(record.key)) ?? Buffer.alloc(0))
  return { records, names, again: downloads }
}

async function namesIn(tar: Buffer): Promise<string[]> {
  const names: string[] = []
  const entries = extract()
  Readable.from([tar]).pipe(entries)
  for await (const entry of entries) {
    if (entry.header.type !== 'directory') names.push(`${entry.header.name.replace(/^\.\//, '')} ${entry.header.type}`)
    entry.resume()
  }
  return names.toSorted()
}

test.each(shells)('files and folders are taken, by the tools of %s', async (shell) => {
  const script = 'mkdir -p "a b/c"; echo 1 > "a b/c/one"; echo 2 > "a b/two.tmp"; echo 3 > three'
  const wanted = [{ source: 'a b' }, { source: 'three' }, { source: 'none' }]
  const { records, names, again } = await collect(script, wanted, { shell })
  expect(records).toMatchObject([
    { destination: 'a b', type: 'directory', status: 'ok' },
    { destination: 'three', type: 'file', status: 'ok' },
    { destination: 'none', status: 'missing' },
  ])
  expect(await names(records[0])).toEqual(['c/one file', 'two.tmp file'])
  expect(await names(records[1])).toEqual(['three file'])
  expect(await again()).toEqual(records)
})

test.each([
  ['bash', { status: 'ok' }, ['c/one file']],
  ['busybox', { status: 'skipped', reason: 'the tar of the image cannot leave files out' }, []],
] as const)('what is excluded does not come, by the tools of %s', async (shell, expected, files) => {
  const script = 'mkdir -p d/c d/cache; touch d/c/one d/two.tmp d/cache/three'
  const wanted = [{ source: 'd', exclude: ['*.tmp', 'cache'] }]
  const { records, names } = await collect(script, wanted, { shell })
  expect(records).toMatchObject([expected])
  expect(await names(records[0])).toEqual(files)
})

test('links and special files are skipped, never followed or read', async () => {
  const { records } = await collect('ln -s /etc link; mkfifo pipe', [{ source: 'link' }, { source: 'pipe' }])
  expect(records).toMatchObject([
    { status: 'skipped', reason: 'it is a symbolic link' },
    { status: 'skipped', reason: 'it is neither a file nor a folder' },
  ])
})

test('a pipe or a link within a folder is an entry like another', async () => {
  const { records, names } = await collect('mkdir d; mkfifo d/pipe; ln -s /etc/passwd d/link; echo 1 > d/file', [
    { source: 'd' },
  ])
  expect(records).toMatchObject([{ status: 'ok' }])
  expect(await names(records[0])).toEqual(['file file', 'link symlink', 'pipe fifo'])
})

test('all of them together are bounded; a sparse file fills no disk', async () => {
  const wanted = [{ source: 'sparse' }, { source: 'small' }]
  const { records } = await collect('truncate -s 10G sparse; echo 1 > small', wanted, { maxBytes: 100_000 })
  expect(records[0]).toMatchObject({ status: 'partial', bytes: expect.any(Number) })
  expect(records[0]?.bytes).toBeLessThanOrEqual(100_352)
  expect(records[1]).toMatchObject({ status: 'partial' })
})

test('one for which no room is left at all is not even asked for', async () => {
  const wanted = [{ source: 'large' }, { source: 'small' }]
  const { records } = await collect('head -c 200000 /dev/zero > large; echo 1 > small', wanted, { maxBytes: 51_200 })
  expect(records[1]).toMatchObject({ status: 'partial', reason: 'no room is left for it' })
})

test('one that is not there has nobody’s destination, and takes nobody’s', async () => {
  const wanted = [
    { source: 'none', destination: 'out' },
    { source: 'one', destination: 'out' },
    { source: 'gone', destination: 'out' },
  ]
  const { records } = await collect('echo 1 > one', wanted)
  expect(records.map(({ status }) => status)).toEqual(['missing', 'ok', 'missing'])
})

test('of two with one destination the first has it', async () => {
  const wanted = [
    { source: 'one', destination: 'out' },
    { source: 'two', destination: 'out/below' },
  ]
  const { records } = await collect('echo 1 > one; echo 2 > two', wanted)
  expect(records).toMatchObject([{ status: 'ok' }, { status: 'skipped', reason: 'its destination is taken' }])
})

test('the folder for artifacts is always wanted, unless the task says how', () => {
  const part = (source: string, exclude: string[] = []) => ({ artifacts: [{ source, exclude }] })
  expect(wantedArtifacts(part('out/'), '/app')).toEqual([
    { source: '/logs/artifacts', destination: 'logs/artifacts', exclude: [] },
    { source: '/app/out', destination: 'app/out', exclude: [] },
  ])
  expect(wantedArtifacts(part('/logs/artifacts/', ['*.log']), '/app')).toEqual([
    { source: '/logs/artifacts', destination: 'logs/artifacts', exclude: ['*.log'] },
  ])
})

test('a verifier gets plain files and folders alone, without the rights to become root', async () => {
  const tar = pack()
  tar.entry({ name: './', type: 'directory' })
  tar.entry({ name: './file', mode: 0o6755 }, 'kept')
  tar.entry({ name: './link', type: 'symlink', linkname: '/tests' })
  tar.entry({ name: './link/test.sh' }, 'below a link that is not made')
  tar.entry({ name: './hard', type: 'link', linkname: './file' })
  tar.entry({ name: './pipe', type: 'fifo' })
  tar.entry({ name: './device', type: 'character-device' })
  tar.entry({ name: '../climbs' }, 'no')
  tar.entry({ name: '/absolute' }, 'no')
  tar.finalize()
  const plain = await plainFiles(Readable.from([await buffer(tar)]), { what: 'It' })
  expect(await namesIn(plain)).toEqual(['file file', 'link/test.sh file'])
  const cut = await plainFiles(Readable.from([plain.subarray(0, 1_600)]), { what: 'It' })
  expect(await namesIn(cut)).toEqual(['file file'])
})
