import { z } from 'zod'
import { readFile, writeFile, type FileProblem, type ReadOutcome } from '../runner/files.ts'
import { shorten } from './shorten.ts'
import { builtInTool, endOf, failed, fileDefaults, succeeded, type ToolContext, type ToolResult } from './tool.ts'

/** Files beyond this are for `bash`: the worker holds them in memory. */
export const longestFileBytes = 16 * 1024 * 1024

export const pathArgument = z.string().min(1).describe('Absolute, or relative to the working directory')

export const sentences: Readonly<Record<FileProblem, string>> = {
  'not-found': 'does not exist',
  'is-a-directory': 'is a directory',
  'permission-denied': 'may not be accessed',
  'not-a-file': 'is not a regular file',
  outside: 'leads out of the working directory, which paths must stay in',
  'root-missing': 'cannot be reached: the working directory is gone or has become a link',
}

export const readFileTool = builtInTool({
  name: 'read_file',
  description: 'Reads a text file, or some of its lines. A binary file is only named as such.',
  arguments: z.strictObject({
    path: pathArgument,
    offset: z.number().int().min(1).optional().describe('First line to read, from 1'),
    limit: z.number().int().min(1).optional().describe('How many lines to read'),
  }),
  run: async ({ path, offset = 1, limit }, context) => {
    const file = await readWhole(context, path)
    if (file.type !== 'read') return notRead(file, path, context)
    const text = textOf(file.content, file.truncated)
    const size = file.truncated ? `more than ${longestFileBytes}` : String(file.content.length)
    if (text === undefined) return succeeded(`[${path} is a binary file of ${size} bytes]`)
    const more = file.truncated ? `\n[${path} has ${size} bytes; only its beginning was read]` : ''
    return succeeded(shorten(linesOf(text, offset, limit)) + more)
  },
})

/** `limit` lines from line `offset` on. A file of nothing but line ends must not become a million texts. */
function linesOf(text: string, offset: number, limit: number | undefined): string {
  const start = afterLines(text, 0, offset - 1)
  return text.slice(start, limit === undefined ? undefined : afterLines(text, start, limit))
}

function afterLines(text: string, start: number, count: number): number {
  let at = start
  for (let line = 0; line < count && at < text.length; line += 1) {
    const lineEnd = text.indexOf('\n', at)
    at = lineEnd < 0 ? text.length : lineEnd + 1
  }
  return at
}

export const writeFileTool = builtInTool({
  name: 'write_file',
  description: 'Writes a file whole, replacing what is there; makes missing directories and keeps the mode.',
  arguments: z.strictObject({ path: pathArgument, content: z.string() }),
  run: async ({ path, content }, context) => write(context, { path, content: Buffer.from(content) }),
})

/** A file as far as it is kept in memory; part 0 of the call. */
export function readWhole(context: ToolContext, path: string): Promise<ReadOutcome> {
  const request = { ...fileDefaults(context, 0), path, maxBytes: longestFileBytes }
  return readFile(context.runner, request, { signal: context.signal })
}

async function write(context: ToolContext, { path, content }: { path: string; content: Buffer }): Promise<ToolResult> {
  const request = { ...fileDefaults(context, 0), path, content }
  const { type, result } = await writeFile(context.runner, request, { signal: context.signal })
  if (type === 'written') return succeeded(`Wrote ${content.length} bytes to ${path}`)
  if (type === 'failed') return endOf(result, result.stderr.head.toString('utf8'), context.timeoutMs)
  return failed(`${path} ${sentences[type]}`)
}

export function notRead(file: Exclude<ReadOutcome, { type: 'read' }>, path: string, context: ToolContext): ToolResult {
  if (file.type !== 'failed') return failed(`${path} ${sentences[file.type]}`)
  return endOf(file.result, file.result.stderr.head.toString('utf8'), context.timeoutMs)
}

/** Undefined for what is not text; a file that was cut may end within a character. */
export function textOf(content: Buffer, isCut: boolean): string | undefined {
  if (content.includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content, { stream: isCut })
  } catch {
    return undefined
  }
}
