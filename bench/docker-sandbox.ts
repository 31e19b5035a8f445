import { randomUUID } from 'node:crypto'
import { finished } from 'node:stream/promises'
import type { Container } from 'dockerode'
import { ExecLog } from '../activities/exec-log.ts'
import type { Call } from '../agents/agent.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { specHash } from '../providers/contract/spec-hash.ts'
import { connectToDocker } from '../providers/docker/docker-connection.ts'
import { createDockerProvider } from '../providers/docker/docker-provider.ts'
import { openRunner } from '../runner/open-runner.ts'
import type { Runner } from '../runner/runner.ts'
import { openStore } from '../store/open-store.ts'
import { executeBatch } from '../tools/execute-batch.ts'
import type { Bench } from './bench.ts'

const hourMs = 3_600_000
const command = 'echo hi'

/** One container with an attachment to its runner, and the Engine's own way into the same container. */
export interface DockerSandbox {
  /**
   * A turn of so many `bash` calls as an agent's rollout makes it: acknowledged, its output stored.
   * @returns when each call was answered, in milliseconds after the batch was sent
   */
  readonly batch: (calls: number, mode: 'sequence' | 'parallel') => Promise<number[]>
  /** The same command through the Engine: create, start, read to its end, inspect. */
  readonly engineExec: () => Promise<void>
  readonly close: () => Promise<void>
}

export async function openDockerSandbox(bench: Bench): Promise<DockerSandbox> {
  const { docker, environment } = bench
  const { stateDirectory } = environment
  const provider = createDockerProvider({ connection: docker, stateDirectory })
  const name = `bench-${randomUUID().slice(0, 8)}`
  const { workdir } = await provider.createOrAdopt({ name, ...orderOf(bench), secrets: {} })
  const runner = openRunner({
    connect: () => provider.connect(name),
    isAlive: async () => ((await provider.find(name)) ? { alive: true } : { alive: false, reason: 'it is gone' }),
  })
  const container = connectToDocker(docker).calls.getContainer(name)
  const batch = batchesOf({ runner, workdir, storeUrl: environment.storeUrl, rollout: name })
  const close = async () => {
    runner.close()
    await provider.destroy(name)
  }
  return { batch, engineExec: () => engineExec(container), close }
}

function orderOf({ imageMap, namespace }: Bench) {
  const spec: SandboxSpec = {
    image: { type: 'name', name: 'debian:bookworm-slim' },
    imageMap,
    resources: {},
    limits: { acquireTimeoutMs: 60_000, startTimeoutMs: 60_000, execTimeoutMs: 60_000, lifetimeMs: hourMs },
    network: { mode: 'none' },
    networkAsked: true,
    env: {},
    secrets: [],
    mounts: [],
  }
  const ownership = {
    namespace,
    job: 'bench',
    workflow: 'bench',
    role: 'main',
    incarnation: 1,
    owner: randomUUID(),
    spec: specHash(spec),
    keep: 'never',
    expires: Date.now() + hourMs,
  } as const
  return { spec, ownership }
}

/** What activities/run-turns.ts does for one turn, without the agent and the turn's own record. */
function batchesOf(at: { runner: Runner; workdir: string; storeUrl: string; rollout: string }): DockerSandbox['batch'] {
  const { runner, workdir, storeUrl, rollout } = at
  const store = openStore(storeUrl)
  let turn = 0
  return async (count, mode) => {
    const place = { scope: 'bench', phase: 1, batch: turn++ }
    const log = new ExecLog({ job: 'bench', rollout, incarnation: 1 }, store)
    const answeredAt: number[] = []
    runner.acknowledge(place)
    const calls = Array.from({ length: count }, (): Call => ({ tool: 'bash', args: { command } }))
    const sentAt = performance.now()
    const results = await executeBatch(
      { calls, mode, stopOnError: false },
      {
        ...place,
        runner,
        workdir,
        defaultTimeoutMs: 60_000,
        signal: new AbortController().signal,
        onExec: (report) => {
          answeredAt.push(performance.now() - sentAt)
          log.report(report)
        },
        spool: log.spool,
      },
    )
    await log.flush()
    if (results.some(({ output }) => output.trim() !== 'hi')) throw new Error('A call has answered something else')
    return answeredAt
  }
}

/** The same command through the Engine: create, start, read to its end, inspect. */
export async function engineExec(container: Container): Promise<void> {
  const exec = await container.exec({ Cmd: ['sh', '-c', command], AttachStdout: true, AttachStderr: true })
  const stream = await exec.start({})
  stream.resume()
  await finished(stream)
  const { ExitCode } = await exec.inspect()
  if (ExitCode !== 0) throw new Error(`The Engine's exec ended with ${String(ExitCode)}`)
}
