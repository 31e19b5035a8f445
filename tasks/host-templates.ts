/** `${VAR}` and `${VAR:-default}` in env tables of tasks: values out of the host's environment, with consent. */

const template = /\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:(?!\$\{)[^}])*))?\}/g
const anyTemplate = /\$\{[^}]*\}/g

type Env = Readonly<Record<string, string>>

export interface HostVariable {
  readonly name: string
  /** What stands for it where the host has none. */
  readonly fallback?: string
}

/** The variables that a value asks for, in order. */
export function hostVariables(value: string): HostVariable[] {
  return [...value.matchAll(template)].map(([, name = '', fallback]) => ({
    name,
    ...(fallback === undefined ? {} : { fallback }),
  }))
}

/** Whether a value, as it stands, is not what a sandbox gets. */
function hasTemplate(value: string): boolean {
  return hostVariables(value).length > 0
}

/** Every `${…}` of a value that is neither `${VAR}` nor `${VAR:-default}`. */
export function malformedTemplates(value: string): string[] {
  return (value.match(anyTemplate) ?? []).filter((found) => found.replaceAll(template, '') !== '')
}

/** The entries as they stand, and those that take values from the host. */
export function splitEnv(env: Env): { plain: Record<string, string>; fromHost: Record<string, string> } {
  const entries = Object.entries(env)
  return {
    plain: Object.fromEntries(entries.filter(([, value]) => !hasTemplate(value))),
    fromHost: Object.fromEntries(entries.filter(([, value]) => hasTemplate(value))),
  }
}

/**
 * A value with the host's variables in it; a fallback stands for one that is absent or empty, as in a shell.
 * @returns undefined when one is absent that has no fallback
 */
export function expandTemplate(value: string, host: Env): string | undefined {
  const asked = hostVariables(value)
  if (asked.some(({ name, fallback }) => host[name] === undefined && fallback === undefined)) return undefined
  return value.replaceAll(template, (_, name: string, fallback?: string) => {
    const found = host[name]
    return fallback === undefined ? (found ?? '') : found || fallback
  })
}
