import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { processesNaming, untilNothing } from '../cli/fixtures/rollcall-process.ts'
import { Taskset } from '../client/index.ts'
import { connectToDocker, dockerConnection } from '../providers/docker/docker-connection.ts'
import { openCuttingProxy } from '../providers/docker/testing/cutting-proxy.ts'
import { testImageMap } from '../scripts/test-images.ts'
import { openHome, writeTasks } from '../testing/durability-home.ts'
import type { DurabilityHome } from '../testing/durability-home.ts'

/** A job that reaches the Engine by a proxy. */
async function openProxiedHome() {
  const home = await openHome()
  onTestFinished(() => home.close())
  const connection = dockerConnection(process.env['DOCKER_HOST'])
  const socket = join(home.folder, 'engine.sock')
  const proxy = await openCuttingProxy('socketPath' in connection ? connection.socketPath : '', socket)
  onTestFinished(() => proxy.close())
  return { home, connection, socket, proxy }
}

const untilWorkerHasEnded = (home: DurabilityHome, job: string) =>
  untilNothing(() => processesNaming(`"job":"${job}","stateDirectory":"${home.folder}`), 30_000)

test('an Engine that is out of reach while a command runs and ends is waited for, and nothing runs twice', async () => {
  const { home, connection, socket, proxy } = await openProxiedHome()
  const effects = await home.effectsFolder('away')
  const tell = (what: string) => `echo ${what} $(hostname) >> /effects/told`
  const wait = 'until [ -e /effects/go ]; do sleep 0.05; done'
  const turns = [`${tell('begins')}; ${wait}; ${tell('ends')}`, tell('next')]
  const tests = `${tell('tests')}; echo 1 > /logs/verifier/reward.txt`
  const taskset = await Taskset.load(await writeTasks(join(home.folder, 'tasks'), [{ name: 'away', turns, tests }]))
  const job = await taskset.run({
    job: 'away',
    agent: 'script',
    provider: { name: 'docker', options: { socket: `unix://${socket}` } },
    environment: home.environment,
    imageMap: testImageMap,
    runtime: { mounts: [effects.mount] },
  })
  onTestFinished(() => job.close())
  await expect.poll(() => effects.lines('told'), { timeout: 60_000 }).toHaveLength(1)
  const [container] = (await effects.lines('told')).map((line) => line.split(' ')[1])
  proxy.away()
  await expect.poll(proxy.refused, { timeout: 60_000 }).toBeGreaterThan(2)
  await writeFile(join(effects.path, 'go'), '')
  await expect.poll(() => effects.lines('told')).toHaveLength(2)
  const asked = proxy.refused()
  await expect.poll(proxy.refused, { timeout: 60_000 }).toBeGreaterThan(asked)
  proxy.back()
  expect(await job.result()).toMatchObject({ graded: 1, mean: 1 })
  expect(await effects.lines('told')).toEqual(['begins', 'ends', 'next', 'tests'].map((what) => `${what} ${container}`))
  // The job's own worker sweeps last, for which it needs the Engine.
  await untilWorkerHasEnded(home, 'away')
  const { calls } = connectToDocker(connection)
  expect(await calls.listContainers({ all: true, filters: { id: [container ?? ''] } })).toEqual([])
})

test('a job that is cancelled while the Engine takes its time to create a container is over when that is gone, too', async () => {
  const { home, connection, socket, proxy } = await openProxiedHome()
  const tests = 'echo 1 > /logs/verifier/reward.txt'
  const folder = await writeTasks(join(home.folder, 'tasks'), [{ name: 'late', turns: ['true'], tests }])
  let hasArrived = false
  const { asked } = proxy.holdUp(
    'POST /containers/create',
    delay(8_000).then(() => (hasArrived = true)),
  )
  const taskset = await Taskset.load(folder)
  const job = await taskset.run({
    job: `late-${process.pid}`,
    agent: 'script',
    provider: { name: 'docker', options: { socket: `unix://${socket}` } },
    environment: home.environment,
    imageMap: testImageMap,
  })
  onTestFinished(() => job.close())
  await asked
  await job.cancel()
  expect(await job.result()).toMatchObject({ cancelled: 1 })
  expect(hasArrived).toBe(true)
  await untilWorkerHasEnded(home, job.id)
  const { calls } = connectToDocker(connection)
  expect(await calls.listContainers({ all: true, filters: { label: [`rollcall.job=${job.id}`] } })).toEqual([])
})
