import type { ContainerInfo, ContainerInspectInfo } from 'dockerode'
import type { FoundSandbox } from '../contract/provider.ts'
import { readOwnership, readPlace } from './docker-labels.ts'

type EndState = Pick<ContainerInspectInfo['State'], 'Status' | 'Running' | 'Paused' | 'OOMKilled' | 'ExitCode'>

/** The supervisor exits with it at the end of the lifetime, and for no other reason (runner/supervisor.sh). */
const lifetimeExitCode = 0

/** Undefined for a container that is not one of Rollcall's. */
export function toFoundSandbox(container: ContainerInspectInfo): FoundSandbox | undefined {
  const ownership = readOwnership(container.Config.Labels)
  if (ownership === undefined) return undefined
  return {
    name: nameOf(container),
    id: container.Id,
    image: container.Image,
    workdir: readPlace(container.Config.Labels).workdir,
    ownership,
    createdMs: Date.parse(container.Created),
    ...lifeOf(container),
  }
}

/** From the Engine's list, which says less: enough for one that runs. */
export function toRunningSandbox(container: ContainerInfo): FoundSandbox | undefined {
  const ownership = readOwnership(container.Labels)
  if (ownership === undefined || container.State !== 'running') return undefined
  const name = container.Names[0]?.slice(1) ?? container.Id
  const { workdir } = readPlace(container.Labels)
  const createdMs = container.Created * 1_000
  return { name, id: container.Id, image: container.ImageID, workdir, ownership, createdMs, state: 'running' }
}

export function nameOf(container: ContainerInspectInfo): string {
  return container.Name.replace(/^\//, '')
}

/** Created and never started: what a creation leaves whose caller died before the start. */
export function isUnstarted(container: ContainerInspectInfo): boolean {
  return container.State.Status === 'created'
}

/**
 * A paused container counts as running: whoever paused it can resume it. `OOMKilled` is set for good as soon as any
 * process inside was killed for memory, so it explains the end only together with the exit code of a kill.
 */
export function lifeOf({ State }: { State: EndState }): Pick<FoundSandbox, 'state' | 'reason'> {
  if (State.Running || State.Paused) return { state: 'running' }
  if (State.Status !== 'exited') return { state: 'dead', reason: 'unknown' }
  if (State.OOMKilled && State.ExitCode === 137) return { state: 'dead', reason: 'oom' }
  return { state: 'dead', reason: State.ExitCode === lifetimeExitCode ? 'lifetime' : 'exited' }
}

export function describeEnd(container: ContainerInspectInfo): string {
  const { State } = container
  const { reason } = lifeOf(container)
  if (reason === 'oom') return 'ran out of memory'
  if (reason === 'lifetime') return 'reached the end of its lifetime'
  if (reason === 'exited') return `ended with exit code ${State.ExitCode} at ${State.FinishedAt}`
  return `is ${State.Status}`
}
