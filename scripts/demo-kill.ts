/**
 * `npm run demo:kill`: runs a task with one long command, kills the job's worker with SIGKILL in the middle of it, and
 * shows that the command is still the same process in the same sandbox when another worker has taken over, and that it
 * ran once. On Docker where an Engine answers, else in a local sandbox. Exits 1 when it was not so.
 */
import process from 'node:process'
import { holdRollout } from '../bench/held-rollout.ts'
import type { HeldRollout } from '../bench/held-rollout.ts'
import { environmentOfProcess } from '../client/index.ts'
import { connectToDocker, dockerConnection } from '../providers/docker/docker-connection.ts'
import { createProviders } from '../workers/providers.ts'
import { probeDocker, testImageMap, testImages } from './test-images.ts'

const environment = environmentOfProcess()
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const connection = dockerConnection(process.env['DOCKER_HOST'])
const provider = (await probeDocker(connection)).ready ? 'docker' : 'local'
/** Offline, the image that `npm test` has made stands in for Debian's. */
const hasTestImage =
  provider === 'docker' &&
  (await connectToDocker(connection)
    .calls.getImage(testImages.debian)
    .inspect()
    .then(
      () => true,
      () => false,
    ))

say(`A task with one long command, on provider ${provider}. Starting …`)
const held = await holdRollout(environment, {
  provider,
  imageMap: hasTestImage ? testImageMap : {},
  onProgress: (line) => say(`  (${line})`),
})
try {
  process.exitCode = (await killAndWatch(held)) ? 0 : 1
} finally {
  await held.close()
}

async function killAndWatch({ job, command, ...rollout }: HeldRollout): Promise<boolean> {
  const before = await sandboxId(job.id)
  const worker = await rollout.workerPid()
  if (worker === undefined) throw new Error('No worker has the command, although it runs')
  say(`job       ${job.id}${job.uiUrl === undefined ? '' : `  ${job.uiUrl}`}`)
  say(`sandbox   ${before}`)
  say(`command   process ${command.insidePid} inside, ${command.hostPid} on this host, start time ${command.startTime}`)
  say(`worker    process ${worker}: killing it with SIGKILL`)
  const killedAt = performance.now()
  process.kill(worker, 'SIGKILL')
  const successor = await rollout.untilServedByOther(worker)
  say(`worker    process ${successor} has it, ${((performance.now() - killedAt) / 1000).toFixed(1)} s later`)
  const [after, found] = [await sandboxId(job.id), await rollout.find()]
  say(`sandbox   ${after}`)
  say(`command   process ${found?.insidePid} inside, ${found?.hostPid} on this host, start time ${found?.startTime}`)
  await rollout.release()
  const { graded, mean } = await job.result()
  const effects = await rollout.effects()
  const once = effects.join(' ') === 'begun done next'
  const isSame = before === after && found?.hostPid === command.hostPid && found.startTime === command.startTime
  say(`effects   ${effects.join(', ')}: ${once ? 'each exactly once' : 'expected begun, done, next'}`)
  say(`result    ${graded} graded, mean ${mean}`)
  say(once && isSame && mean === 1 ? 'The same command, the same sandbox, once.' : 'That is not as it should be.')
  return once && isSame && mean === 1
}

async function sandboxId(job: string): Promise<string | undefined> {
  const providers = createProviders(environment)
  try {
    const [sandbox] = await (await providers.provider(provider, {})).list({ job })
    return sandbox?.id
  } finally {
    await providers.close()
  }
}
