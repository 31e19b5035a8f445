import { z } from 'zod'
import type { ExecResult } from '../protocol/exec.ts'
import { belowRoot, confined, confinementCodes } from '../runner/confined-path.ts'
import { asOperand, isDone } from '../runner/files.ts'
import { shorten } from './shorten.ts'
import { builtInTool, endOf, execDefaults, failed, succeeded } from './tool.ts'

const mostEntries = 1_000
const captureBytes = 256 * 1024

/** Each entry ends in NUL, directories in / before it and links in @. */
const script = `find . -mindepth 1 -maxdepth "$RC_DEPTH" \\( -type d -exec printf '%s/\\0' {} + \\) -o \\
  \\( -type l -exec printf '%s@\\0' {} + \\) -o -exec printf '%s\\0' {} +`

export const listFilesTool = builtInTool({
  name: 'list_files',
  description: 'Lists a directory, hidden files included. Directories end in /, links in @; odd names are quoted.',
  arguments: z.strictObject({
    path: z.string().min(1).default('.').describe('Absolute, or relative to the working directory'),
    depth: z.number().int().min(1).max(20).default(1).describe('How many levels to go down'),
  }),
  run: async ({ path, depth }, context) => {
    const place = context.root === undefined ? { RC_PATH: asOperand(path) } : belowRoot(context.root, path)
    if (place === undefined) return failed(leadsOut(path))
    const begin = context.root === undefined ? 'cd "$RC_PATH" || exit\n' : confined.toDirectory
    const env = { ...place, RC_DEPTH: String(depth) }
    const request = { ...execDefaults(context, 0), script: `${begin}${script}`, env, captureBytes }
    const result = await context.runner.exec(request, { signal: context.signal })
    if (context.root !== undefined) {
      const problem = whyNotListed(result, path)
      if (problem !== undefined) return failed(problem)
    }
    const said = result.stderr.head.toString('utf8')
    const entries = entriesOf(result.stdout.head)
    if (!isDone(result) && entries.length === 0) return endOf(result, said, context.timeoutMs)
    const more = entries.length > mostEntries || result.stdout.truncated ? '\n[… more entries left out …]' : ''
    const listing = shorten(entries.slice(0, mostEntries).map(shown).join('\n')) + more
    return isDone(result) ? succeeded(listing) : endOf(result, `${listing}\n${said}`, context.timeoutMs)
  },
})

function leadsOut(path: string): string {
  return `${path} leads out of the working directory, which paths must stay in`
}

/** The ways of a confined path, which say nothing themselves. */
function whyNotListed({ outcome }: ExecResult, path: string): string | undefined {
  if (outcome.type !== 'exited') return undefined
  switch (outcome.code) {
    case confinementCodes.outside:
      return leadsOut(path)
    case confinementCodes.rootMissing:
      return `${path} cannot be reached: the working directory is gone or has become a link`
    case 44:
      return `${path} is no directory, or does not exist`
    case 46:
      return `${path} may not be accessed`
  }
}

/** Complete entries, sorted, without `./`. */
function entriesOf(output: Buffer): string[] {
  const entries = output.toString('utf8').split('\0').slice(0, -1)
  return entries.map((entry) => entry.replace(/^\.\//, '')).toSorted((a, b) => (a < b ? -1 : 1))
}

function shown(entry: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\u0000-\u001f\u007f"\\]|^\s|\s$/.test(entry) ? JSON.stringify(entry) : entry
}
