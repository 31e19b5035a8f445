import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import { expect, test } from 'vitest'
import type { ArtifactRecord } from '../protocol/grade.ts'
import type { ExecRequest, Runner } from '../runner/runner.ts'
import { openTestSandbox } from '../runner/test-sandbox.ts'
import { createFileStore } from '../store/file-store.ts'
import { collectedKey } from '../store/keys.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { bringArtifacts, plainFiles, putArtifacts } from './bring-artifacts.ts'

const place = { job: 'j', rollout: 'a-task.oracle.1', incarnation: 1, phase: 2 }
const first = { scope: 's', phase: 3, batch: 0, call: 0, part: 0 }
const { signal } = new AbortController()

/** A runner that nothing is asked of. */
const unasked: Runner = {
  exec: (request: ExecRequest) => Promise.reject(new Error(`asked for ${request.script}`)),
  acknowledge: () => {},
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
