import { z } from 'zod'
import { asOperand, isDone } from '../runner/files.ts'
import { shorten } from './shorten.ts'
import { builtInTool, endOf, execDefaults, succeeded } from './tool.ts'

const mostEntries = 1_000
const captureBytes = 256 * 1024

/** Each entry ends in NUL, directories in / before it and links in @. */
const script = `cd "$RC_PATH" || exit
find . -mindepth 1 -maxdepth "$RC_DEPTH" \\( -type d -exec printf '%s/\\0' {} + \\) -o \\
  \\( -type l -exec printf '%s@\\0' {} + \\) -o -exec printf '%s\\0' {} +`

export const listFilesTool = builtInTool({
  name: 'list_files',
  description: 'Lists a directory, hidden files included. Directories end in /, links in @; odd names are quoted.',
  arguments: z.strictObject({
    path: z.string().min(1).default('.').describe('Absolute, or relative to the working directory'),
    depth: z.number().int().min(1).max(20).default(1).describe('How many levels to go down'),
  }),
  run: async ({ path, depth }, context) => {
    const env = { RC_PATH: asOperand(path), RC_DEPTH: String(depth) }
    const request = { ...execDefaults(context, 0), script, env, captureBytes }
    const result = await context.runner.exec(request, { signal: context.signal })
    const said = result.stderr.head.toString('utf8')
    const entries = entriesOf(result.stdout.head)
    if (!isDone(result) && entries.length === 0) return endOf(result, said, context.timeoutMs)
    const more = entries.length > mostEntries || result.stdout.truncated ? '\n[… more entries left out …]' : ''
    const listing = shorten(entries.slice(0, mostEntries).map(shown).join('\n')) + more
    return isDone(result) ? succeeded(listing) : endOf(result, `${listing}\n${said}`, context.timeoutMs)
  },
})

/** Complete entries, sorted, without `./`. */
function entriesOf(output: Buffer): string[] {
  const entries = output.toString('utf8').split('\0').slice(0, -1)
  return entries.map((entry) => entry.replace(/^\.\//, '')).toSorted((a, b) => (a < b ? -1 : 1))
}

function shown(entry: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\u0000-\u001f\u007f"\\]|^\s|\s$/.test(entry) ? JSON.stringify(entry) : entry
}
