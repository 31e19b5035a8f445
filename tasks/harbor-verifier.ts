import { imageOf } from './harbor-images.ts'
import type { BuildContexts } from './harbor-images.ts'
import { milliseconds, runtimeOf } from './harbor-runtime.ts'
import type { HarborEnvironment, HarborStep, HarborTaskFile, HarborVerifier } from './harbor-schema.ts'
import type { CollectCommand, TaskVerifier } from './task.ts'

const defaultTimeoutSeconds = 600
const defaultCollectSeconds = 60

/** Says who grades: the task, or one step of it over the task. Harbor's rules, field by field. */
export function verifierOf(file: HarborTaskFile, contexts: BuildContexts, step?: HarborStep): TaskVerifier {
  const own = step?.verifier ?? {}
  const task = file.verifier ?? {}
  const timeoutSeconds = own.timeout_sec ?? task.timeout_sec ?? defaultTimeoutSeconds
  const user = own.user ?? task.user
  const common = {
    timeoutMs: milliseconds(timeoutSeconds),
    ...(user === undefined ? {} : { user: String(user) }),
    env: { ...task.env, ...own.env },
  }
  const mode = verifierMode(file, step)
  if (mode === 'shared') return { ...common, mode, collect: [] }
  const environment = verifierEnvironment(file, step)
  const images = imageOf(environment, contexts.get(testsContext(contexts, step)))
  const runtime = runtimeOf({ ...environment, ...networkOverride(own, task) }, images)
  return { ...common, mode, runtime, collect: [...(task.collect ?? []), ...(own.collect ?? [])].map(collectCommand) }
}

/** The step's own mode, else one that its own environment implies, else the task's in the same way, else shared. */
export function verifierMode(file: HarborTaskFile, step?: HarborStep): 'shared' | 'separate' {
  return statedMode(step?.verifier) ?? statedMode(file.verifier) ?? 'shared'
}

function statedMode(verifier: HarborVerifier | undefined): 'shared' | 'separate' | undefined {
  return verifier?.environment_mode ?? (verifier?.environment === undefined ? undefined : 'separate')
}

/** The nearest definition; without one the verifier's sandbox is asked for like the agent's. */
export function verifierEnvironment(file: HarborTaskFile, step?: HarborStep): HarborEnvironment {
  return step?.verifier?.environment ?? file.verifier?.environment ?? file.environment ?? {}
}

/** The build context of a separate verifier: the step's tests where it brings any, else the task's. */
function testsContext(contexts: BuildContexts, step?: HarborStep): string {
  const own = step === undefined ? undefined : `steps/${step.name}/tests`
  return own !== undefined && contexts.has(own) ? own : 'tests'
}

function networkOverride(
  own: HarborVerifier,
  task: HarborVerifier,
): Pick<HarborEnvironment, 'network_mode' | 'allowed_hosts'> {
  const stated = [own, task].find(({ network_mode: mode, allowed_hosts: hosts }) => mode !== undefined || hosts?.length)
  if (stated === undefined) return {}
  const { network_mode: mode, allowed_hosts: hosts } = stated
  return { network_mode: mode ?? 'allowlist', allowed_hosts: hosts ?? [] }
}

function collectCommand(command: NonNullable<HarborVerifier['collect']>[number]): CollectCommand {
  return {
    command: command.command,
    timeoutMs: milliseconds(command.timeout_sec ?? defaultCollectSeconds),
    ...(command.user === undefined ? {} : { user: String(command.user) }),
  }
}
