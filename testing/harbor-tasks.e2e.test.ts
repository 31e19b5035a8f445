import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Taskset } from '../client/index.ts'
import { cacheDirectory } from '../protocol/directories.ts'
import type { RolloutResult } from '../protocol/grade.ts'
import { dockerConnection } from '../providers/docker/docker-connection.ts'
import { exportJob } from '../results/export-job.ts'
import { filesBelow } from './files-below.ts'
import { readResults } from '../results/read-job.ts'
import { ensureTestImages } from '../scripts/test-images.ts'
import { openStore } from '../store/open-store.ts'
import { openHome } from './durability-home.ts'
import type { DurabilityHome } from './durability-home.ts'

/** Task directories in Harbor's format, one for each feature, as they are: solved by oracle, not by nop. */

const everywhere = fileURLToPath(new URL('./tasks', import.meta.url))
const inContainers = fileURLToPath(new URL('./docker-tasks', import.meta.url))

/** Rows and a task of Terminal-Bench 2's form, whose image is named and not built. */
const ofImages = fileURLToPath(new URL('./image-tasks', import.meta.url))

const folders = { local: [everywhere], docker: [everywhere, inContainers, ofImages] } as const
type ProviderName = keyof typeof folders

let home: DurabilityHome
const results: Record<string, RolloutResult[]> = {}
let jobsDir = ''

beforeAll(async () => {
  home = await openHome()
  jobsDir = await mkdtemp(join(tmpdir(), 'rollcall-harbor-jobs-'))
  const connection = dockerConnection(process.env['DOCKER_HOST'])
  const imageMap = await ensureTestImages({ connection, cacheDirectory: cacheDirectory(process.env) })
  const runs = Object.entries(folders).flatMap(([provider, paths]) => paths.map((path) => ({ provider, path })))
  await Promise.all(runs.map((run) => runAll({ ...run, imageMap })))
})

afterAll(async () => {
  await home.close()
  await rm(jobsDir, { recursive: true, force: true })
})

async function runAll(run: {
  provider: string
  path: string
  imageMap: Readonly<Record<string, string>>
}): Promise<void> {
  const { provider, path, imageMap } = run
  const taskset = await Taskset.load(path)
  const job = await taskset.run({
    job: `${provider}-${taskset.name}`,
    agent: ['oracle', 'nop'],
    provider,
    imageMap,
    ignoreDockerImage: path !== ofImages,
    concurrency: 6,
    environment: home.environment,
  })
  await job.result()
  await job.close()
  const store = openStore(home.environment.storeUrl)
  const rollouts = taskset.tasks.flatMap(({ name }) => [`${name}.oracle.1`, `${name}.nop.1`])
  results[provider] = [...(results[provider] ?? []), ...(await readResults(store, job.id, rollouts))]
  await exportJob({ store, job: job.id, jobsDir })
}

function resultOf(provider: ProviderName, name: string): RolloutResult | undefined {
  return results[provider]?.find((result) => result.name === `${name}.1`)
}

const tasks = ['artifacts', 'built', 'healthcheck', 'separate', 'separate-steps', 'steps', 'surroundings']

describe.each(['local', 'docker'] as const)('%s', (provider) => {
  test.each(tasks)('%s: oracle 1, nop 0', (task) => {
    expect(resultOf(provider, `${task}.oracle`)).toMatchObject({ state: 'graded', rewards: { reward: 1 } })
    expect(resultOf(provider, `${task}.nop`)).toMatchObject({ state: 'graded', rewards: { reward: 0 } })
  })

  test('steps: oracle goes through all three, nop is stopped after the first', () => {
    const solved = resultOf(provider, 'steps.oracle')
    expect(solved?.steps?.map(({ name, rewards }) => [name, rewards])).toEqual([
      ['first', { reward: 1 }],
      ['second', { reward: 1, style: 1 }],
      ['last', { reward: 1 }],
    ])
    expect(solved?.rewards).toEqual({ reward: 1, style: expect.closeTo(1 / 3) })
    expect(resultOf(provider, 'steps.nop')?.steps).toHaveLength(1)
  })

  test('steps: exported as Harbor has them', async () => {
    const folder = join(jobsDir, `${provider}-tasks`, 'steps.oracle.1')
    expect(await filesBelow(join(folder, 'steps/second'))).toEqual([
      expect.stringMatching(/^agent\/.*answer\.json$/),
      expect.stringMatching(/^agent\/.*result\.json$/),
      expect.stringMatching(/^agent\/.*answer\.json$/),
      expect.stringMatching(/^agent\/.*result\.json$/),
      'artifacts/app/second.txt',
      'artifacts/manifest.json',
      'verifier/grade.json',
      'verifier/reward.json',
    ])
    const { step_results: steps, verifier_result: verifier } = JSON.parse(
      await readFile(join(folder, 'result.json'), 'utf8'),
    ) as Record<string, unknown>
    expect(verifier).toMatchObject({ rewards: { reward: 1 } })
    expect(steps).toMatchObject([
      { step_name: 'first', verifier_result: { rewards: { reward: 1 } }, exception_info: null },
      { step_name: 'second' },
      { step_name: 'last' },
    ])
  })

  test('artifacts: mirrored or at their destination, without what is excluded, links and pipes', async () => {
    const folder = join(jobsDir, `${provider}-tasks`, 'artifacts.oracle.1/artifacts')
    expect(await filesBelow(folder)).toEqual([
      'app/out/file.txt',
      'logs/artifacts/published.txt',
      'manifest.json',
      'reports/final.txt',
      'tree/kept.txt',
    ])
    const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as Record<string, unknown>[]
    expect(manifest.map(({ source, status, type }) => [source, status, type])).toEqual([
      ['/logs/artifacts', 'ok', 'directory'],
      ['/app/out', 'ok', 'directory'],
      ['/app/report.txt', 'ok', 'file'],
      ['/app/tree', 'ok', 'directory'],
      ['/app/link', 'skipped', null],
      ['/app/queue', 'skipped', null],
      ['/app/none', 'missing', null],
    ])
  })

  test('a separate verifier is the strongest class; with reward final only the last step’s counts', () => {
    expect(resultOf(provider, 'separate.oracle')).toMatchObject({
      integrity: 'separate',
      verifierImages: [expect.any(String)],
    })
    expect(resultOf(provider, 'separate-steps.oracle')).toMatchObject({
      integrity: 'separate',
      steps: [{ integrity: 'clean' }, { integrity: 'separate' }],
    })
  })

  test('daemons of the agent are alive while its tests run, which makes the grade live', () => {
    expect(resultOf(provider, 'surroundings.oracle')?.integrity).toBe('live')
  })
})

test.each(['image-alone', 'image-and-workdir', 'image-without-bash', 'terminal-bench'])(
  '%s, whose image is not built: oracle 1, nop 0',
  (task) => {
    expect(resultOf('docker', `${task}.oracle`)).toMatchObject({ state: 'graded', rewards: { reward: 1 } })
    expect(resultOf('docker', `${task}.nop`)).toMatchObject({ state: 'graded', rewards: { reward: 0 } })
  },
)

test('each step’s agent has its own user; one that was root before is not bound any more', () => {
  expect(resultOf('docker', 'users.oracle')).toMatchObject({
    rewards: { reward: 1 },
    steps: [{ integrity: 'non-root' }, { integrity: 'non-root' }, { integrity: 'clean' }],
  })
  expect(resultOf('docker', 'users.nop')).toMatchObject({ rewards: { reward: 0 } })
})
