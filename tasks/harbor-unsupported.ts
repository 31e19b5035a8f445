import { posix } from 'node:path'
import type { Problem } from '../providers/contract/provider.ts'
import { environmentsOf, problemIf } from './harbor-runtime.ts'
import type { HarborEnvironment, HarborStep, HarborTaskFile, HarborVerifier } from './harbor-schema.ts'
import { verifierMode } from './harbor-verifier.ts'
import { malformedTemplates } from './host-templates.ts'
import { shownValue } from './problems.ts'
import { verifierFolderAt } from './verifier-folders.ts'

/** A known field that this version does not honour. Whoever adds support removes the row. */
interface Refusal<Table> {
  readonly field: string
  /** What the table says, or undefined when it does not ask. */
  readonly asked: (table: Table) => unknown
  readonly expected: string
}

/** Asked of every `[environment]` of the file: the agent's and those of verifiers. */
const environmentRefusals: readonly Refusal<HarborEnvironment>[] = [
  {
    field: 'os',
    asked: ({ os }) => (os === 'windows' ? 'windows' : undefined),
    expected: '"linux": no provider makes Windows sandboxes',
  },
  { field: 'tpu', asked: ({ tpu }) => tpu, expected: 'none: no provider offers TPUs; remove it' },
  {
    field: 'mcp_servers',
    asked: ({ mcp_servers: servers }) => unlessEmpty(servers),
    expected: 'none: MCP servers are not offered to agents; start one in the image and tell of it in the instruction',
  },
]

/** Asked only of verifiers' environments: what is about agents has no meaning there. */
const verifierEnvironmentRefusals: readonly Refusal<HarborEnvironment>[] = [
  { field: 'skills_dir', asked: ({ skills_dir: skills }) => skills, expected: 'none: no agent works in this sandbox' },
  {
    field: 'healthcheck',
    asked: ({ healthcheck }) => healthcheck,
    expected: 'none: nothing runs in this sandbox before the tests; let them wait for what they need',
  },
]

type Phase = Pick<HarborVerifier, 'network_mode' | 'allowed_hosts'>

/** A sandbox's network is decided when it is made: a phase cannot have another one. */
function phaseProblems(field: string, phase: Phase | undefined, environment: HarborEnvironment): Problem[] {
  const same = 'the same as environment.network_mode: the network of a sandbox cannot change between phases'
  const rows: Refusal<Phase>[] = [
    {
      field: 'network_mode',
      asked: ({ network_mode: mode }) => (mode === environmentMode(environment) ? undefined : mode),
      expected: same,
    },
    {
      field: 'allowed_hosts',
      asked: ({ allowed_hosts: hosts }) => unlessSame(hosts, environment.allowed_hosts),
      expected: 'the same as environment.allowed_hosts: the network of a sandbox cannot change between phases',
    },
  ]
  return refusedOf(field, rows, phase ?? {})
}

function environmentMode({ network_mode: mode, allowed_hosts: hosts, allow_internet: legacy }: HarborEnvironment) {
  return mode ?? (hosts?.length ? 'allowlist' : legacy === false ? 'no-network' : 'public')
}

const sidecar = '"main", the only service: tasks of several services are not supported'

/** Everything the task asks for by a known field that cannot be honoured: refused by name, never ignored. */
export function unsupportedFields(file: HarborTaskFile): Problem[] {
  return [
    ...environmentsOf(file).flatMap(([field, environment]) => [
      ...refusedOf(field, environmentRefusals, environment),
      ...(field === 'environment' ? [] : refusedOf(field, verifierEnvironmentRefusals, environment)),
    ]),
    ...partsOf(file).flatMap((part) => partProblems(file, part)),
    ...duplicateSteps(file),
    ...hostTemplates(file),
  ]
}

/** The task itself, or one of its steps, with where its fields stand. */
interface Part {
  readonly at: string
  readonly fields: Pick<HarborStep, 'agent' | 'verifier' | 'artifacts'>
  /** Whose mode of grading it is; absent for a task's own fields where only its steps are graded. */
  readonly mode: 'shared' | 'separate' | undefined
  readonly step?: HarborStep
}

function partsOf(file: HarborTaskFile): Part[] {
  const steps = file.steps ?? []
  const modes = new Set(steps.map((step) => verifierMode(file, step)))
  const mode = steps.length === 0 ? verifierMode(file) : modes.size === 1 ? [...modes][0] : undefined
  const ofSteps = steps.map((step, index) => ({
    at: `steps[${index}].`,
    fields: step,
    mode: verifierMode(file, step),
    step,
  }))
  return [{ at: '', fields: file, mode }, ...ofSteps]
}

function partProblems(file: HarborTaskFile, { at, fields, mode, step }: Part): Problem[] {
  const { agent, verifier, artifacts = [] } = fields
  const isShared = mode === 'shared'
  // The verifier of a sandbox of its own has that sandbox's network, which its phase may state.
  const network = mode === 'shared' ? phaseProblems(`${at}verifier`, verifier, file.environment ?? {}) : []
  const collects = verifier?.collect ?? []
  return [
    ...phaseProblems(`${at}agent`, agent, file.environment ?? {}),
    ...network,
    ...artifacts.flatMap(({ service }, index) => serviceProblem(`${at}artifacts[${index}].service`, service)),
    ...collects.flatMap(({ service }, index) => serviceProblem(`${at}verifier.collect[${index}].service`, service)),
    ...problemIf(isShared && collects.length > 0, {
      field: `${at}verifier.collect`,
      value: shownValue(collects),
      expected: 'none unless verifier.environment_mode is "separate": shared tests see everything as it is',
    }),
    ...(mode === 'separate' ? reservedArtifacts(at, artifacts) : []),
    ...problemIf(verifier?.environment !== undefined && (step === undefined ? statesShared(verifier) : isShared), {
      field: `${at}verifier.environment`,
      value: shownValue(verifier?.environment),
      expected: 'none unless verifier.environment_mode is "separate"; remove one of them',
    }),
  ]
}

/** What would be put over the tests or the reward of a verifier that nobody is to forge. */
function reservedArtifacts(at: string, artifacts: NonNullable<HarborTaskFile['artifacts']>): Problem[] {
  return artifacts.flatMap(({ source }, index) => {
    const reserved = verifierFolderAt(posix.resolve('/', source))
    return problemIf(source.startsWith('/') && reserved !== undefined, {
      field: `${at}artifacts[${index}].source`,
      value: shownValue(source),
      expected: `nothing that holds or lies in ${reserved}, which is the separate verifier’s own`,
    })
  })
}

function statesShared(verifier: HarborVerifier): boolean {
  return verifier.environment_mode === 'shared'
}

function serviceProblem(field: string, service: string | undefined): Problem[] {
  return problemIf(service !== undefined && service !== 'main', {
    field,
    value: shownValue(service),
    expected: sidecar,
  })
}

function duplicateSteps({ steps = [] }: HarborTaskFile): Problem[] {
  const names = steps.map(({ name }) => name.toLowerCase())
  return names.flatMap((name, index) =>
    problemIf(names.indexOf(name) !== index, {
      field: `steps[${index}].name`,
      value: shownValue(steps[index]?.name),
      expected: 'a name that no other step has (upper and lower case count as the same)',
    }),
  )
}

function refusedOf<Table>(at: string, rows: readonly Refusal<Table>[], table: Table): Problem[] {
  return rows.flatMap(({ field, asked, expected }) => {
    const value = asked(table)
    return value === undefined ? [] : [{ field: `${at}.${field}`, value: shownValue(value), expected }]
  })
}

/** Values of the host are had by `${VAR}` and `${VAR:-default}`, with consent; no other form means anything. */
function hostTemplates(file: HarborTaskFile): Problem[] {
  return environmentTables(file).flatMap(([table, env]) =>
    Object.entries(env)
      .filter(([, value]) => malformedTemplates(value).length > 0)
      .map(([name, value]) => ({
        field: `${table}.${name}`,
        value: shownValue(value),
        expected: 'plain text, ${VAR} or ${VAR:-default}',
      })),
  )
}

/** Every table of variables in the file with where it stands: of sandboxes, of tests and of the solution. */
function environmentTables(file: HarborTaskFile): [field: string, env: Readonly<Record<string, string>>][] {
  const tables: [string, Readonly<Record<string, string>> | undefined][] = [
    ...environmentsOf(file).map(([field, { env }]): [string, typeof env] => [`${field}.env`, env]),
    ['verifier.env', file.verifier?.env],
    ...(file.steps ?? []).map(({ verifier }, index): [string, Readonly<Record<string, string>> | undefined] => [
      `steps[${index}].verifier.env`,
      verifier?.env,
    ]),
    ['solution.env', file.solution?.env],
  ]
  return tables.flatMap(([field, env]) => (env === undefined ? [] : [[field, env]]))
}

function unlessEmpty<T>(list: readonly T[] | undefined): readonly T[] | undefined {
  return list?.length ? list : undefined
}

/** A list that says something else than the sandbox's. */
function unlessSame(own: readonly string[] | undefined, environment: readonly string[] = []): unknown {
  return own?.length && shownValue(own.toSorted()) !== shownValue(environment.toSorted()) ? own : undefined
}
