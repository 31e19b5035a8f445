import { readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { FoundSandbox, Provider } from '../../providers/contract/provider.ts'
import { connectToDocker } from '../../providers/docker/docker-connection.ts'
import { createDockerProvider } from '../../providers/docker/docker-provider.ts'
import { createLocalProvider } from '../../providers/local/local-provider.ts'
import type { ChaosProvider } from './fault-plan.ts'
import { processesInside } from './processes.ts'
import type { LivingProcess } from './processes.ts'

const engine = { socketPath: '/var/run/docker.sock' }

/** Where the sandboxes of a job are, seen and hit from outside. */
export interface ChaosPlace {
  sandboxes(job: string): Promise<FoundSandbox[]>
  /** The process whose end is the sandbox's end. */
  mainPid(sandbox: FoundSandbox): Promise<number | undefined>
  /** Removes it behind Rollcall's back, where there is such a thing. */
  remove?(sandbox: FoundSandbox): Promise<void>
  /** Removes it as Rollcall would: for what a failed run has left. */
  destroy(sandbox: FoundSandbox): Promise<void>
  /** Names of networks that carry the job's label. */
  networks(job: string): Promise<string[]>
}

export function chaosPlace(provider: ChaosProvider, stateDirectory: string): ChaosPlace {
  return provider === 'docker' ? dockerPlace(stateDirectory) : localPlace(stateDirectory)
}

function localPlace(stateDirectory: string): ChaosPlace {
  const provider = createLocalProvider({ stateDirectory })
  return {
    sandboxes: (job) => sandboxesOf(provider, job),
    mainPid: async ({ name }) => {
      const text = await readFile(join(stateDirectory, 'local', name, 'process.json'), 'utf8').catch(() => '{}')
      const { pid } = JSON.parse(text) as { pid?: number }
      return pid
    },
    destroy: ({ name }) => provider.destroy(name),
    networks: async () => [],
  }
}

function dockerPlace(stateDirectory: string): ChaosPlace {
  const provider = createDockerProvider({ connection: engine, stateDirectory })
  const { calls } = connectToDocker(engine)
  return {
    sandboxes: (job) => sandboxesOf(provider, job),
    mainPid: async ({ name }) => {
      const state = await calls
        .getContainer(name)
        .inspect()
        .then(({ State }) => State)
        .catch(() => undefined)
      return state?.Running === true ? state.Pid : undefined
    },
    destroy: ({ name }) => provider.destroy(name),
    remove: ({ name }) => calls.getContainer(name).remove({ force: true }),
    networks: async (job) => {
      const networks = await calls.listNetworks({ filters: { label: [`rollcall.job=${job}`] } })
      return networks.map(({ Name }) => Name)
    },
  }
}

function sandboxesOf(provider: Provider, job: string): Promise<FoundSandbox[]> {
  return provider.list({ job })
}

/** What runs in a sandbox beside its main process. */
export interface InsideView {
  /** Processes that attach a worker. */
  readonly attachments: readonly LivingProcess[]
  /** Each watches over one command of the agent's that runs now. */
  readonly supervisors: readonly LivingProcess[]
}

/** @param agentsVariable stands in the environment of the agent's commands, and of no other */
export async function lookInside(mainPid: number, agentsVariable: string): Promise<InsideView> {
  const processes = await processesInside(mainPid)
  const shells = processes.filter(isAttachmentShell)
  const isAgents = ({ env }: LivingProcess) => env.some((entry) => entry.startsWith(`${agentsVariable}=`))
  const supervisors = shells.filter(({ pid }) => processes.some((child) => child.parent === pid && isAgents(child)))
  // What an attachment forks reads nothing, or it would take a request away.
  const inputs = await Promise.all(shells.map(({ pid }) => readlink(`/proc/${pid}/fd/0`).catch(() => '/dev/null')))
  return { attachments: shells.filter((_, index) => inputs[index] !== '/dev/null'), supervisors }
}

/**
 * An attachment, or what it has forked for a command: `sh attach.sh …` on local, on Docker `sh -c TEXT rollcall …` with
 * the working directory as its last argument, where the main process has the image's own command.
 */
function isAttachmentShell({ argv }: LivingProcess): boolean {
  const [program, script, , name] = argv
  if (program !== 'sh') return false
  return script?.endsWith('/attach.sh') === true || (name === 'rollcall' && argv.at(-1) === '/app')
}
