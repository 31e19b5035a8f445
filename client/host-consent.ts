import { RollcallError } from '../protocol/failure.ts'
import { counted } from '../protocol/names.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import { hostVariables, malformedTemplates } from '../tasks/host-templates.ts'
import type { Task } from '../tasks/task.ts'

/** A variable of the host that a job would see, and who asks for it. */
export interface AskedVariable {
  readonly name: string
  /** Names of tasks; `the job` for its own runtime, `the taskset` for the taskset's. */
  readonly by: readonly string[]
  /** Some of them can do without it. */
  readonly hasFallback: boolean
}

type Env = Readonly<Record<string, string | null>>
type VerifierEnv = Pick<Task['verifier'], 'env'> & { readonly runtime?: { readonly env: Env } }

/** What a task says of variables. */
interface EnvSource extends Pick<Task, 'name' | 'ownRuntime' | 'solution'> {
  readonly runtime: { readonly env: Env }
  readonly verifier: VerifierEnv
  readonly steps: readonly { readonly verifier: VerifierEnv }[]
}

/** Everything that is asked for by `${VAR}`, sorted by name. */
export function askedVariables(
  tasks: readonly EnvSource[],
  runtimes: Readonly<Record<string, RuntimeConfig | undefined>> = {},
): AskedVariable[] {
  const sources = [
    ...tasks.map((task) => ({ by: task.name, tables: taskTables(task) })),
    ...Object.entries(runtimes).map(([by, runtime]) => ({ by, tables: [runtime?.env ?? {}] })),
  ]
  const asked = sources.flatMap(({ by, tables }) => variablesOf(tables).map((variable) => ({ ...variable, by })))
  const names = [...Map.groupBy(asked, ({ name }) => name)]
  return names
    .map(([name, found]) => ({
      name,
      by: [...new Set(found.map(({ by }) => by))],
      hasFallback: found.some(({ fallback }) => fallback !== undefined),
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function taskTables({ runtime, ownRuntime, verifier, steps, solution }: EnvSource): Env[] {
  const verifiers = [verifier, ...steps.map((step) => step.verifier)]
  const tables = verifiers.flatMap((one) => [one.env, one.runtime?.env ?? {}])
  return [runtime.env, ownRuntime?.env ?? {}, ...tables, solution.env]
}

function variablesOf(tables: readonly Env[]) {
  return tables.flatMap((env) => Object.values(env).flatMap((value) => hostVariables(value ?? '')))
}

/** `TOKEN: asked for by task-a and 3 more`, a line for each. */
export function describeAsked(asked: readonly AskedVariable[]): string[] {
  return asked.map(({ name, by, hasFallback }) => {
    const [first, ...others] = by
    const who = others.length === 0 ? first : `${first} and ${others.length} more`
    return `  ${name}: asked for by ${who}${hasFallback ? ', which can do without it' : ''}`
  })
}

/**
 * The names of variables that the job may have: those that are asked for and allowed.
 * @throws RollcallError `configuration-invalid` naming all that nobody has allowed
 */
export function consentedNames(asked: readonly AskedVariable[], allowed: readonly string[] | 'all' = []): string[] {
  const refused = allowed === 'all' ? [] : asked.filter(({ name }) => !allowed.includes(name))
  if (refused.length === 0) return asked.map(({ name }) => name)
  const flags = refused.map(({ name }) => `--allow-env ${name}`).join(' ')
  throw new RollcallError(
    'configuration-invalid',
    `${counted(refused.length, 'variable')} of this host would be seen by sandboxes, and nobody has allowed that:\n` +
      `${describeAsked(refused).join('\n')}\nAllow them with ${flags} (or all with --yes, allowEnv in TypeScript), or ` +
      'write the values into the tasks.',
  )
}

/** @throws RollcallError `configuration-invalid` for `${…}` that is no template, which no task could mean */
export function assertTemplates(runtimes: Readonly<Record<string, RuntimeConfig | undefined>>): void {
  for (const [whose, runtime] of Object.entries(runtimes)) {
    for (const [name, value] of Object.entries(runtime?.env ?? {})) {
      const [malformed] = malformedTemplates(value ?? '')
      if (malformed === undefined) continue
      throw new RollcallError(
        'configuration-invalid',
        `runtime.env.${name} of ${whose} holds ${malformed}: expected plain text, \${VAR} or \${VAR:-default}`,
      )
    }
  }
}
