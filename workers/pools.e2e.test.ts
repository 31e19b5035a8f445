import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { processesNaming, RollcallProcess } from '../cli/fixtures/rollcall-process.ts'
import type { Ended } from '../cli/fixtures/rollcall-process.ts'
import type { PoolStatus } from '../protocol/pool.ts'
import { openStore } from '../store/open-store.ts'
import { readLatestOpening } from '../results/find-rollout.ts'
import { testImageMap } from '../scripts/test-images.ts'

/** Rollouts of one job out of two pools, on two providers, with the worker that the pools start. */

let home = ''
let env: Record<string, string | undefined> = {}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-pools-'))
  const { TEMPORAL_ADDRESS: _, ...inherited } = process.env
  env = { ...inherited, ROLLCALL_STATE_DIR: join(home, 'state') }
  // A sandbox that somebody had before has two lines.
  const task = { instruction: 'Once.', solution: 'echo done >>/tmp/done', check: '[ "$(cat /tmp/done)" = done ]' }
  const tasks = [
    { name: 'first', ...task },
    { name: 'second', ...task },
    { name: 'third', ...task, profile: 'there' },
  ]
  await writeFile(join(home, 'tasks.yaml'), JSON.stringify({ tasks }))
  await writeFile(
    join(home, 'profiles.yaml'),
    JSON.stringify({
      profiles: {
        here: { provider: 'local', minSandboxes: 1, maxSandboxes: 1, maxLifetimeMs: 14_400_000 },
        there: {
          provider: 'docker',
          runtime: { image: 'debian:12', network: 'none' },
          imageMap: testImageMap,
          maxSandboxes: 1,
          maxLifetimeMs: 14_400_000,
        },
        shared: { provider: 'docker', slotsPerSandbox: 2, maxLifetimeMs: 14_400_000 },
      },
    }),
  )
})

afterAll(async () => {
  await rollcall(['server', 'stop'])
  for (const { pid } of await processesNaming(home)) process.kill(pid, 'SIGKILL')
  await rm(home, { recursive: true, force: true })
})

function rollcall(args: readonly string[]): Promise<Ended> {
  return new RollcallProcess(args, env).ended
}

const run = (job: string, profile: string): Promise<Ended> => {
  const where = ['--provider', 'local', '--pool', profile, '--profiles', join(home, 'profiles.yaml')]
  return rollcall(['run', join(home, 'tasks.yaml'), '--job', job, '--jobs-dir', join(home, 'jobs'), '--json', ...where])
}

const status = async (profile: string): Promise<PoolStatus> =>
  JSON.parse((await rollcall(['pool', 'status', profile, '--json'])).stdout) as PoolStatus

test('each rollout has a sandbox of its profile’s pool to itself, and the pool replaces it', async () => {
  const { code, stdout } = await run('pooled', 'here')
  expect(code).toBe(0)
  expect(stdout.split('\n').at(-2)).toContain('"mean":1')
  const store = openStore(`file://${join(home, 'state', 'store')}`)
  const lease = async (task: string) =>
    (await readLatestOpening(store, { job: 'pooled', rollout: `${task}.oracle.1` }))?.opened.lease
  const [first, second, third] = await Promise.all(['first', 'second', 'third'].map(lease))
  expect([first?.provider, third?.provider]).toEqual(['local', 'docker'])
  expect(first?.spec).toBe(second?.spec)
  expect(first?.sandbox).not.toBe(second?.sandbox)
  const [here, there] = await Promise.all([status('here'), status('there')])
  expect([here.counts.granted, there.counts.granted]).toEqual([2, 1])
  const held = [...here.sandboxes, ...there.sandboxes].flatMap(({ name }) => name ?? [])
  for (const used of [first, second, third]) expect(held).not.toContain(used?.sandbox)
})

test('a profile whose sandboxes are shared is refused for rollouts by name', async () => {
  const { code, stderr, stdout } = await run('refused', 'shared')
  expect(code).toBe(2)
  expect(stderr + stdout).toContain('profile is shared: one with a slot per sandbox')
})

test('stopped pools leave nothing, also when their worker was killed', async () => {
  for (const { pid, command } of await processesNaming(home)) {
    if (command.includes('workers/main.ts')) process.kill(pid, 'SIGKILL')
  }
  const profiles = ['here', 'there', 'shared']
  const stopped = await Promise.all(profiles.map((profile) => rollcall(['pool', 'stop', profile, '--purge'])))
  expect(stopped).toMatchObject(profiles.map(() => ({ code: 0 })))
  expect(await status('there')).toMatchObject({ state: 'ended', sandboxes: [] })
})
