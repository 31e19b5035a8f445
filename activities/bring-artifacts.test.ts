import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { extract, pack } from 'tar-stream'
import { expect, onTestFinished, test } from 'vitest'
import type { ArtifactRecord } from '../protocol/grade.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import { noLiveExecs, openTestSandbox, uniqueScope } from '../runner/test-sandbox.ts'
import { createFileStore } from '../store/file-store.ts'
import { collectedKey } from '../store/keys.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { bringArtifacts, plainFiles, putArtifacts } from './bring-artifacts.ts'

const at = { job: 'j', rollout: 'a.nop.1', incarnation: 1, phase: 3 }

/** Brings artifacts that the store has into a real sandbox; `tar` is what each of them holds. */
async function bringing(artifact: (workdir: string) => ArtifactRecord, tar?: Buffer) {
  const sandbox = await openTestSandbox({ shell: 'bash' })
  onTestFinished(() => sandbox[Symbol.asyncDispose]())
  const store = createFileStore(await temporaryFolder('bring'))
  const record = artifact(sandbox.workdir)
  if (tar !== undefined) await store.putOnce(record.key ?? '', tar)
  await putJsonOnce(store, collectedKey(at), { artifacts: [record], execs: [] })
  const first = { scope: uniqueScope(), phase: 4, batch: 0, call: 0, part: 0 }
  const { signal } = new AbortController()
  const bring = () => bringArtifacts(at, { runner: sandbox.open(), context: { store }, first, signal })
  return { bring, workdir: sandbox.workdir }
}

const kept = (source: string, more: Partial<ArtifactRecord> = {}): ArtifactRecord => ({
  source,
  destination: 'x',
  type: 'file',
  status: 'ok',
  key: 'tar',
  ...more,
})

test.each(['/tests', '/tests/test.sh', '/logs/verifier', '/logs/verifier/reward.txt'])(
  'an artifact that would lie at %s, where the separate verifier has its own, is refused',
  async (source) => {
    const { bring } = await bringing(() => kept(source))
    await expect(bring()).rejects.toMatchObject({ code: 'grader-failed', message: expect.stringContaining(source) })
  },
)

test('one beside them is put where it was, without what its mode would let it do', async () => {
  const tar = pack()
  tar.entry({ name: './out', mode: 0o4755 }, 'x')
  tar.finalize()
  const { bring, workdir } = await bringing((folder) => kept(join(folder, 'tests/out')), await buffer(tar))
  await bring()
  expect(await readFile(join(workdir, 'tests/out'), 'utf8')).toBe('x')
  expect((await stat(join(workdir, 'tests/out'))).mode & 0o7777).toBe(0o755)
})

test('one that is larger than a worker holds in memory is a failure that says what to do', async () => {
  const { bring } = await bringing(() => kept('/app/out', { bytes: 256 * 1024 ** 2 + 1 }))
  await expect(bring()).rejects.toThrow('expected at most 256 MiB where it is graded in another sandbox')
})

test('one that the store has lost is no grade', async () => {
  const { bring } = await bringing(() => kept('/app/out'))
  await expect(bring()).rejects.toMatchObject({ code: 'artifacts-missing' })
})

test('what climbs out of its folder stays behind', async () => {
  const tar = pack()
  for (const name of ['ok', '../up', 'a/../../up', '/abs']) tar.entry({ name }, 'x')
  tar.finalize()
  const names: string[] = []
  const entries = extract()
  entries.end(await plainFiles(Readable.from(tar), { what: 'It' }))
  for await (const entry of entries) {
    names.push(entry.header.name)
    entry.resume()
  }
  expect(names).toEqual(['ok'])
})

const place = { job: 'j', rollout: 'a-task.oracle.1', incarnation: 1, phase: 2 }
const first = { scope: 's', phase: 3, batch: 0, call: 0, part: 0 }
const { signal } = new AbortController()

/** A runner that nothing is asked of. */
const unasked: Runner = {
  exec: (request: ExecRequest) => Promise.reject(new Error(`asked for ${request.script}`)),
  ...noLiveExecs,
  acknowledge: () => {},
  writeInput: () => Promise.reject(new Error('asked for input')),
  readOutput: () => Promise.reject(new Error('asked for output')),
  signal: () => Promise.reject(new Error('asked for a signal')),
  stop: () => Promise.resolve(),
  hello: () => Promise.reject(new Error('asked for hello')),
  close: () => {},
}

test('a million empty folders do not keep a worker from everything else: too many are refused', async () => {
  const tar = pack()
  for (let folder = 0; folder < 3_000; folder += 1) tar.entry({ name: `./${folder}/`, type: 'directory' })
  tar.finalize()
  const bytes = await buffer(tar)
  let turns = 0
  const ticking = setInterval(() => (turns += 1), 0)
  await plainFiles(Readable.from([bytes]), { what: 'It' })
  clearInterval(ticking)
  expect(turns).toBeGreaterThan(3)
  const most = { what: 'Artifact /app/out', most: 2_999 }
  await expect(plainFiles(Readable.from([bytes]), most)).rejects.toThrow('Artifact /app/out has more than 2999')
})

test.each(['/', '/logs', '/tests/data', '/logs/verifier'])(
  '%s is not brought to a separate verifier',
  async (source) => {
    const store = createFileStore(await temporaryFolder('artifacts'))
    const artifacts = [{ source, destination: 'x', type: 'directory', status: 'ok', bytes: 1, key: 'x' }]
    await putJsonOnce(store, collectedKey(place), { artifacts, execs: [] })
    await expect(bringArtifacts(place, { runner: unasked, context: { store }, first, signal })).rejects.toMatchObject({
      code: 'grader-failed',
      message: expect.stringContaining('the separate verifier’s own'),
    })
  },
)

test('an artifact that lies where something of another kind is fails its grading, not its sandbox', async () => {
  await using sandbox = await openTestSandbox({ shell: 'bash' })
  const store = createFileStore(await temporaryFolder('artifacts'))
  const tar = pack()
  tar.entry({ name: './data' }, 'a file')
  tar.finalize()
  await store.putOnce('tar', await buffer(tar))
  const source = `${sandbox.workdir}/out`
  const runner = sandbox.open()
  await runner.exec({ id: { ...first, call: 1 }, script: `mkdir -p ${source}/data`, timeoutMs: 10_000 })
  const artifact: ArtifactRecord = { source, destination: 'out', type: 'directory', status: 'ok', bytes: 1, key: 'tar' }
  await expect(putArtifacts([artifact], { runner, store, first, signal })).rejects.toMatchObject({
    code: 'grader-failed',
    message: expect.stringContaining('cannot overwrite directory'),
  })
})
