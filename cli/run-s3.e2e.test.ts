import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { S3Server, bucketName } from '../store/fixtures/s3-server.ts'
import { processesNaming, RollcallProcess, untilNothing } from './fixtures/rollcall-process.ts'

/** Jobs whose store is on a real server like S3; nothing but that server is common to client and worker. */

const hello = fileURLToPath(new URL('../examples/tasks/hello', import.meta.url))

let home = ''
let server: S3Server
let env: Record<string, string | undefined> = {}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-e2e-s3-'))
  server = await S3Server.start()
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  env = { ...inherited, ...awsSettings(), ...directories('client'), ROLLCALL_STORE: `s3://${bucketName}/evals` }
  // The server belongs to the client; the worker of another host gets its address.
  await rollcall(['server', 'start'])
})

afterAll(async () => {
  await rollcall(['server', 'stop'])
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await server.remove()
  await rm(home, { recursive: true, force: true })
})

/** As every AWS program has them; none of this machine's own. */
function awsSettings() {
  return {
    AWS_ENDPOINT_URL_S3: server.endpoint,
    AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
    AWS_SESSION_TOKEN: undefined,
    AWS_PROFILE: undefined,
    AWS_REGION: undefined,
    AWS_DEFAULT_REGION: undefined,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
  }
}

/** State of its own for each host; the cache only holds what was built. */
function directories(host: string) {
  return { ROLLCALL_STATE_DIR: join(home, host, 'state') }
}

function rollcall(args: readonly string[], more: Record<string, string | undefined> = {}) {
  return new RollcallProcess(args, { ...env, ...more }).ended
}

const jobsDir = (name: string) => join(home, 'client', name)

async function exported(...path: string[]): Promise<unknown> {
  return JSON.parse(await readFile(join(home, 'client', ...path), 'utf8'))
}

test('a job with its own worker ends with grades and an export, and all of it is in the bucket', async () => {
  const args = ['--job', 'own', '--provider', 'local', '--jobs-dir', jobsDir('jobs')]
  const { code, stderr } = await rollcall(['run', hello, ...args])
  expect(stderr).not.toContain(server.credentials.secretAccessKey)
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(await exported('jobs/own/hello.oracle.1/result.json')).toMatchObject({
    verifier_result: { rewards: { reward: 1 } },
  })
  expect(await readdir(join(server.folder, bucketName, 'evals/jobs/own'))).toContain('summary.json')
  expect(await readdir(join(home, 'client/state'))).not.toContain('store')
  const again = await rollcall(['results', 'own', '--json'])
  expect(JSON.parse(again.stdout)).toMatchObject({ mean: 1 })
  expect((await rollcall(['status'])).stdout).toContain('own')
})

test('a worker that shares no directory with the client serves the job', async () => {
  const address = /127\.0\.0\.1:\d+/.exec((await rollcall(['server', 'status'])).stdout)?.[0]
  const remote = { ...directories('remote'), TEMPORAL_ADDRESS: address }
  const worker = new RollcallProcess(['worker', '--provider', 'local'], { ...env, ...remote })
  const args = ['--job', 'shared', '--no-worker', '--provider', 'local', '--jobs-dir', jobsDir('shared-jobs')]
  const { code, stderr } = await rollcall(['run', hello, ...args], { TEMPORAL_ADDRESS: address })
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(await exported('shared-jobs/shared/summary.json')).toMatchObject({ mean: 1, graded: 1 })
  worker.signal('SIGTERM')
  await worker.ended
})

test('a store that is away for a moment in the middle of a job changes nothing', async () => {
  const args = ['--job', 'outage', '--provider', 'local', '-k', '6', '-n', '2', '--jobs-dir', jobsDir('jobs'), '--json']
  const run = new RollcallProcess(['run', hello, ...args], env)
  await run.says('"type":"grade"')
  await server.kill()
  await server.run()
  const { code, stderr } = await run.ended
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(await exported('jobs/outage/summary.json')).toMatchObject({ mean: 1, graded: 6 })
})

test.each([
  [
    'no credentials',
    { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined },
    'no AWS credentials were found',
  ],
  ['credentials in the URL', { ROLLCALL_STORE: 's3://AKIA:hush@bucket' }, 'it holds credentials'],
  ['a bucket that is not there', { ROLLCALL_STORE: 's3://no-such-bucket' }, 'bucket does not exist'],
])('%s: one sentence before anything starts, exit code 2', async (_, wrong, says) => {
  const { code, stdout, stderr } = await rollcall(['run', hello, '--job', 'never', '--provider', 'local'], wrong)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toContain(says)
  expect(stderr).not.toMatch(/hush|\n {4}at /)
})

test('nothing is left of the jobs', async () => {
  const workers = async () => (await processesNaming(home)).filter(({ command }) => command.includes('workers/main'))
  await untilNothing(workers, 30_000)
  expect((await readdir(join(home, 'client/state/local'))).filter((name) => !name.startsWith('.'))).toEqual([])
})
