import type { Problem } from '../providers/contract/provider.ts'
import { malformedTemplates } from './host-templates.ts'
import { shownValue } from './problems.ts'
import type { HarborTaskFile } from './harbor-schema.ts'

/** A known field that this version does not honour. Whoever adds support removes the row. */
interface Refusal {
  readonly field: string
  /** What the task says, or undefined when it does not ask. */
  readonly asked: (file: HarborTaskFile) => unknown
  readonly expected: string
}

const later = 'remove it, or wait for the version that supports it'

const refusals: readonly Refusal[] = [
  {
    field: 'steps',
    asked: (file) => unlessEmpty(file.steps),
    expected: `one step: several steps are not supported yet; ${later}`,
  },
  {
    field: 'artifacts',
    asked: (file) => unlessEmpty(file.artifacts),
    expected: `none: artifacts are not collected yet; ${later}`,
  },
  {
    field: 'verifier.environment_mode',
    asked: (file) => (file.verifier?.environment_mode === 'separate' ? 'separate' : undefined),
    expected: '"shared": a verifier in an environment of its own is not supported yet',
  },
  {
    field: 'verifier.environment',
    asked: (file) => file.verifier?.environment,
    expected: `none: a verifier in an environment of its own is not supported yet; ${later}`,
  },
  {
    field: 'verifier.collect',
    asked: (file) => unlessEmpty(file.verifier?.collect),
    expected: `none: commands that collect evidence belong to the separate verifier, not supported yet; ${later}`,
  },
  {
    field: 'environment.os',
    asked: (file) => (file.environment?.os === 'windows' ? 'windows' : undefined),
    expected: '"linux": no provider makes Windows sandboxes',
  },
  {
    field: 'environment.tpu',
    asked: (file) => file.environment?.tpu,
    expected: 'none: no provider offers TPUs; remove it',
  },
  {
    field: 'environment.mcp_servers',
    asked: (file) => unlessEmpty(file.environment?.mcp_servers),
    expected: `none: MCP servers are not offered to agents yet; ${later}`,
  },
  {
    field: 'environment.skills_dir',
    asked: (file) => file.environment?.skills_dir,
    expected: `none: skills are not handed to agents yet; ${later}`,
  },
  {
    field: 'environment.healthcheck',
    asked: (file) => file.environment?.healthcheck,
    expected: `none: health checks are not run yet; ${later}`,
  },
  ...(['agent', 'verifier'] as const).flatMap((phase): Refusal[] => [
    {
      field: `${phase}.network_mode`,
      asked: (file) => differs(file[phase]?.network_mode, file.environment?.network_mode),
      expected: 'the same as environment.network_mode: a network of its own for one phase is not supported yet',
    },
    {
      field: `${phase}.allowed_hosts`,
      asked: (file) => unlessEmpty(file[phase]?.allowed_hosts),
      expected: 'none: a network of its own for one phase is not supported yet; use environment.allowed_hosts',
    },
  ]),
]

/** Everything the task asks for by a known field that cannot be honoured: refused by name, never ignored. */
export function unsupportedFields(file: HarborTaskFile): Problem[] {
  return [...refusals.flatMap((refusal) => refused(refusal, file)), ...hostTemplates(file)]
}

function refused({ field, asked, expected }: Refusal, file: HarborTaskFile): Problem[] {
  const value = asked(file)
  return value === undefined ? [] : [{ field, value: shownValue(value), expected }]
}

/** Values of the host are had by `${VAR}` and `${VAR:-default}`, with consent; no other form means anything. */
function hostTemplates(file: HarborTaskFile): Problem[] {
  const tables = { environment: file.environment?.env, verifier: file.verifier?.env, solution: file.solution?.env }
  return Object.entries(tables).flatMap(([section, env]) =>
    Object.entries(env ?? {})
      .filter(([, value]) => malformedTemplates(value).length > 0)
      .map(([name, value]) => ({
        field: `${section}.env.${name}`,
        value: shownValue(value),
        expected: 'plain text, ${VAR} or ${VAR:-default}',
      })),
  )
}

function unlessEmpty<T>(list: readonly T[] | undefined): readonly T[] | undefined {
  return list?.length ? list : undefined
}

function differs(own: string | undefined, environment = 'public'): string | undefined {
  return own === environment ? undefined : own
}
