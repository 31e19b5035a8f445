/** A text as one word of a POSIX shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/** Lines that export variables; names were validated with the task. */
export function exportLines(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
    .join('')
}

/** For calls that may take the whole agent phase, where that is not limited. The phase's deadline holds anyway. */
export const longestCallMs = 24 * 60 * 60 * 1000
