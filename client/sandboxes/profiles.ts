import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { RollcallError } from '../../protocol/failure.ts'
import { counted } from '../../protocol/names.ts'
import { poolNamePattern, profileSchema } from '../../protocol/pool.ts'
import type { Profile, ProfileInput } from '../../protocol/pool.ts'
import { problemsOfIssues } from '../../tasks/problems.ts'
import {
  atroposProfileSchema,
  atroposVariableProfiles,
  hasAtroposVariables,
  isAtroposProfile,
  unreadAtroposVariables,
  variablePart,
} from './atropos-profile.ts'

/** A profile in code or in a file: its name is its key. */
export type ProfileDefinition = Omit<ProfileInput, 'name' | 'provider'> & {
  /** Default: the provider of all. */
  readonly provider?: string | ProfileInput['provider']
}

export interface ProfileSources {
  /** Profiles themselves, or the path of a YAML file. Default: the environment. */
  readonly profiles?: string | Readonly<Record<string, ProfileDefinition>>
  /** For profiles that name none. Default `docker`. */
  readonly provider?: string | ProfileInput['provider']
  /** For profiles that say nothing about it. */
  readonly imageMap?: Readonly<Record<string, string>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** What a relative path is relative to. */
  readonly directory: string
}

/**
 * Profiles by name. Without `profiles` they come from the file that `ROLLCALL_PROFILES_FILE` or
 * `ATROPOS_MODAL_PROFILES_FILE` names, else from `ATROPOS_MODAL_*` variables. Files may have Atropos' form.
 * @throws RollcallError `configuration-invalid`: one error that names file, profile and field of every problem; nothing is
 *   passed over, and nothing stands in for what cannot be read
 */
export async function loadProfiles(sources: ProfileSources): Promise<Record<string, Profile>> {
  const { profiles, env } = sources
  if (typeof profiles === 'object') return parseAll('profiles', profiles, sources)
  const file = profiles ?? (env['ROLLCALL_PROFILES_FILE'] || env['ATROPOS_MODAL_PROFILES_FILE'])
  const isTheirs = profiles === undefined && !env['ROLLCALL_PROFILES_FILE']
  if (file) return parseAll(file, await readProfiles(file, sources.directory), { ...sources, isTheirs })
  if (hasAtroposVariables(env)) return parseVariables(sources)
  throw invalid([
    'No profiles: name a file of them (ROLLCALL_PROFILES_FILE), or set ATROPOS_MODAL_* variables, or give them in code',
  ])
}

async function readProfiles(file: string, directory: string): Promise<unknown> {
  const source = await readFile(resolve(directory, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw invalid([`${file}: cannot be read (${error.code ?? error.message})`])
  })
  let value: unknown
  try {
    value = parse(source)
  } catch (error) {
    throw invalid([
      `${file}: not valid YAML (${error instanceof Error ? error.message.split('\n')[0] : String(error)})`,
    ])
  }
  const parsed = z.strictObject({ profiles: z.record(z.string(), z.unknown()) }).safeParse(value)
  if (parsed.success) return parsed.data.profiles
  throw invalid([`${file}: expected a table "profiles" of profiles by name, and nothing beside it`])
}

/** @param sources.isTheirs whether the file is one of Atropos', whatever it says */
function parseAll(
  file: string,
  found: unknown,
  sources: ProfileSources & { isTheirs?: boolean },
): Record<string, Profile> {
  const entries = Object.entries(found as Record<string, unknown>)
  if (entries.length === 0) throw invalid([`${file}: has no profiles`])
  const isTheirs = sources.isTheirs === true || entries.some(([, value]) => isTable(value) && isAtroposProfile(value))
  const parsed = entries.map(([name, value]) => {
    const isAtropos = isTable(value) && (isAtroposProfile(value) || (isTheirs && !isOwnProfile(value)))
    return parseOne({ name, value, at: `${file}: profile ${name}`, sources, isAtropos })
  })
  return collected(parsed)
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** One that says nothing but what both forms have is read as those beside it. */
function isOwnProfile(value: object): boolean {
  return Object.keys(value).some((key) => ownKeys.includes(key))
}

const ownKeys: readonly string[] = Object.keys(profileSchema.in.shape)

function parseVariables(sources: ProfileSources): Record<string, Profile> {
  const found = Object.entries(atroposVariableProfiles(sources.env))
  const parts = found.map(([name]) => variablePart(name))
  const twice = found.find(([name], index) => parts.indexOf(variablePart(name)) !== index)?.[0]
  if (twice !== undefined) throw invalid([`ATROPOS_MODAL_PROFILES: ${twice} has the same variables as another profile`])
  const names = found.map(([name]) => name)
  const unread = unreadAtroposVariables(sources.env, names).map(
    (name) =>
      `environment: ${name}: expected a setting of one of the profiles ${names.join(', ')} (docs/pools.md lists them)`,
  )
  const problems = unread.length > 0 ? [{ problems: unread }] : []
  const parsed = found.map(([name, { fields, variables }]) => {
    const at = `environment: profile ${name}`
    return parseOne({ name, value: fields, at, sources, isAtropos: true, named: (field) => variables[field] ?? field })
  })
  return collected([...parsed, ...problems])
}

interface ParseAt {
  readonly name: string
  readonly value: unknown
  /** What a problem's message begins with. */
  readonly at: string
  readonly sources: ProfileSources
  readonly isAtropos: boolean
  /** What the field is called where it was read. */
  readonly named?: (field: string) => string
}

type Parsed = { readonly profile: Profile } | { readonly problems: readonly string[] }

function parseOne({ name, value, at, sources, isAtropos, named = (field) => field }: ParseAt): Parsed {
  if (!poolNamePattern.test(name)) return { problems: [`${at}: a name has letters, digits, - and _, at most 50`] }
  if (!isTable(value)) return { problems: [`${at}: expected a table of settings`] }
  const told = (problems: ReturnType<typeof problemsOfIssues>): Parsed => ({
    problems: problems.map(
      ({ field, value: shown, expected }) =>
        `${at}: ${named(field) || 'settings'}${shown === undefined ? '' : ` is ${shown}`}: expected ${expected}`,
    ),
  })
  let settings: object = value
  if (isAtropos) {
    const theirs = atroposProfileSchema.safeParse(value)
    if (!theirs.success)
      return told(problemsOfIssues({ error: theirs.error, input: value, schema: atroposProfileSchema }))
    settings = theirs.data
  }
  const input = withDefaults(name, settings, sources)
  const parsed = profileSchema.safeParse(input)
  if (parsed.success) return { profile: parsed.data }
  return told(problemsOfIssues({ error: parsed.error, input, schema: profileSchema }))
}

function withDefaults(name: string, settings: object, { provider = 'docker', imageMap }: ProfileSources): object {
  const own: unknown = 'provider' in settings ? settings.provider : undefined
  const chosen = own ?? provider
  return {
    ...(imageMap === undefined ? {} : { imageMap }),
    ...settings,
    name,
    provider: typeof chosen === 'string' ? { name: chosen } : chosen,
  }
}

function collected(parsed: readonly Parsed[]): Record<string, Profile> {
  const problems = parsed.flatMap((one) => ('problems' in one ? one.problems : []))
  if (problems.length > 0) throw invalid(problems)
  return Object.fromEntries(parsed.flatMap((one) => ('profile' in one ? [[one.profile.name, one.profile]] : [])))
}

function invalid(problems: readonly string[]): RollcallError {
  const many = problems.length > 1 ? [`${counted(problems.length, 'problem')} with profiles:`] : []
  return new RollcallError('configuration-invalid', [...many, ...problems].join('\n'))
}
