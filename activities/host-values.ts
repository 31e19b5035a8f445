import { RollcallError } from '../protocol/failure.ts'
import type { JobOptions } from '../protocol/job.ts'
import type { SandboxSpec } from '../providers/contract/runtime.ts'
import { expandTemplate, hostVariables } from '../tasks/host-templates.ts'
import { partsOf } from '../tasks/task-parts.ts'
import type { Task } from '../tasks/task.ts'
import { Mask } from './mask.ts'
import type { ActivityServices } from './services.ts'

type Env = Readonly<Record<string, string>>
type Lookup = Pick<ActivityServices, 'secrets'>

/**
 * Values out of this worker's environment, as one rollout may have them: looked up when they are needed, never kept. A
 * worker with another environment gives other values.
 */
export interface HostValues {
  /** An env table with the values of the host in it. @throws RollcallError `secret-missing` */
  expand(env: Env): Env
  /** Values of everything that `spec.secrets` names. */
  readonly secrets: Env
  /** Replaces all of them in what is stored. */
  readonly mask: Mask
}

export function hostValues(at: { spec: SandboxSpec; options: JobOptions; services: Lookup }): HostValues {
  const { spec, options, services } = at
  const { hostEnv = {} } = spec
  const allowed = services.secrets(options.allowEnv ?? [])
  const named = services.secrets(spec.secrets.filter((name) => !Object.hasOwn(hostEnv, name)))
  const expand = (env: Env): Env =>
    Object.fromEntries(Object.entries(env).map(([name, value]) => [name, expanded(value, allowed)]))
  return {
    expand,
    get secrets() {
      return { ...named, ...expand(hostEnv) }
    },
    mask: new Mask([...Object.values(allowed), ...Object.values(named)]),
  }
}

function expanded(value: string, allowed: Env): string {
  const found = expandTemplate(value, allowed)
  if (found !== undefined) return found
  const names = hostVariables(value).map(({ name }) => name)
  throw missing(names.filter((name) => allowed[name] === undefined))
}

function missing(names: readonly string[]): RollcallError {
  const what = names.length === 1 ? `Variable ${names[0]} is` : `Variables ${names.join(', ')} are`
  return new RollcallError(
    'secret-missing',
    `${what} not in the worker's environment: set them where the worker runs, or let the tasks say \${NAME:-default}`,
  )
}

/** Every env table of a task that may ask for values of the host. */
function envTables(task: Task, spec: SandboxSpec): Env[] {
  return [spec.hostEnv ?? {}, ...partsOf(task).map(({ verifier }) => verifier.env), task.solution.env]
}

/** @throws RollcallError `secret-missing` with all names of all tasks; nothing is started for want of a value */
export function assertHostValues(
  orders: readonly { task: Task; spec: SandboxSpec }[],
  { options, services }: { options: JobOptions; services: Lookup },
): void {
  const secrets = orders.flatMap(({ spec }) => spec.secrets.filter((name) => !Object.hasOwn(spec.hostEnv ?? {}, name)))
  const values = orders.flatMap(({ task, spec }) => envTables(task, spec).flatMap((env) => Object.values(env)))
  const asked = values.flatMap(hostVariables)
  const allowed = new Set(options.allowEnv ?? [])
  const refused = unique(asked.map(({ name }) => name).filter((name) => !allowed.has(name)))
  if (refused.length > 0) throw new RollcallError('configuration-invalid', `Nobody allowed ${refused.join(', ')}`)
  const needed = asked.filter(({ fallback }) => fallback === undefined).map(({ name }) => name)
  const names = unique([...secrets, ...needed])
  const found = services.secrets(names)
  const absent = names.filter((name) => found[name] === undefined)
  if (absent.length > 0) throw missing(absent)
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)]
}
