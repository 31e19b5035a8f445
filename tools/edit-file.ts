import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { execName } from '../protocol/exec.ts'
import { confined } from '../runner/confined-path.ts'
import { fileProblem, isDone, placeOf } from '../runner/files.ts'
import { longestFileBytes, notRead, pathArgument, readWhole, sentences, textOf } from './file-tools.ts'
import { placeScript } from './session/scripts.ts'
import { shorten } from './shorten.ts'
import { builtInTool, endOf, execDefaults, failed, succeeded, type ToolContext, type ToolResult } from './tool.ts'

const editScript = placeScript + readFileSync(new URL('edit.sh', import.meta.url), 'utf8').replaceAll(/^ *#.*\n/gm, '')

const lineNumber = z.number().int().min(0)

const editArguments = z
  .strictObject({
    command: z.enum(['view', 'create', 'replace', 'insert', 'undo']).default('replace').describe('Default: replace'),
    path: pathArgument,
    old_string: z.string().min(1).optional().describe('replace: the text to replace, which must occur exactly once'),
    new_string: z.string().optional().describe('replace: what stands there then; insert: the lines to insert'),
    content: z.string().optional().describe('create: the whole content of the new file'),
    line: lineNumber.optional().describe('insert: the line after which to insert; 0 for the beginning'),
    range: z.array(lineNumber.min(1)).length(2).optional().describe('view: first and last line'),
  })
  .superRefine((args, context) => {
    for (const field of needed[args.command]) {
      if (args[field] === undefined)
        context.addIssue({ code: 'custom', path: [field], message: `${args.command} needs it` })
    }
    for (const field of changing) {
      const isForeign = args[field] !== undefined && !needed[args.command].includes(field)
      if (isForeign) context.addIssue({ code: 'custom', path: [field], message: `${args.command} does not take it` })
    }
    if (args.range && (args.command !== 'view' || (args.range[0] ?? 0) > (args.range[1] ?? 0))) {
      context.addIssue({
        code: 'custom',
        path: ['range'],
        message: 'expected first and last line of a view, in this order',
      })
    }
  })

const changing = ['old_string', 'new_string', 'content', 'line'] as const
const needed: Readonly<
  Record<'view' | 'create' | 'replace' | 'insert' | 'undo', readonly (typeof changing)[number][]>
> = {
  view: [],
  create: ['content'],
  replace: ['old_string', 'new_string'],
  insert: ['line', 'new_string'],
  undo: [],
}

type EditArguments = z.infer<typeof editArguments>

export const editFileTool = builtInTool({
  name: 'edit_file',
  description:
    'Changes a text file: replace puts new_string in the place of old_string, which must occur exactly once; insert ' +
    'puts lines after a line; create makes a new file; undo takes the latest change of this tool back. view shows ' +
    'lines with their numbers. Line ends, mode and owner of the file stay as they are.',
  arguments: editArguments,
  run: async (args, context) => {
    if (args.command === 'undo') return change(context, args, undefined)
    const file = await readWhole(context, args.path)
    if (args.command === 'create') {
      if (file.type === 'not-found') return change(context, args, Buffer.from(args.content ?? ''))
      return file.type === 'read'
        ? failed(`${args.path} is there already: use replace, insert or write_file`)
        : notRead(file, args.path, context)
    }
    if (file.type !== 'read') return notRead(file, args.path, context)
    if (args.command === 'view') return view(args, file.content, file.truncated)
    if (file.truncated) return failed(`${args.path} has more than ${longestFileBytes} bytes: edit it with bash`)
    const edited = args.command === 'insert' ? inserted(args, file.content) : replaced(args, file.content)
    return typeof edited === 'string' ? failed(edited) : change(context, args, edited)
  },
})

function view({ path, range = [1, Infinity] }: EditArguments, content: Buffer, isCut: boolean): ToolResult {
  const text = textOf(content, isCut)
  if (text === undefined) return succeeded(`[${path} is a binary file]`)
  const [first = 1, last = Infinity] = range
  const lines = text.split('\n')
  if (text.endsWith('\n')) lines.pop()
  const shown = lines.slice(first - 1, last).map((line, at) => `${String(first + at).padStart(6)}\t${line}`)
  if (shown.length === 0) return succeeded(`[${path} has ${lines.length} lines]`)
  return succeeded(`${shorten(shown.join('\n'))}${isCut ? `\n[only the beginning of ${path} was read]` : ''}`)
}

/** In bytes, so that what is around the match stays as it is in any encoding. A model writes \n where a file has \r\n. */
function replaced({ path, old_string = '', new_string = '' }: EditArguments, content: Buffer): Buffer | string {
  const exact = replaceOnce(content, Buffer.from(old_string), Buffer.from(new_string))
  const hasOtherEnds = exact === 0 && content.includes('\r\n') && !old_string.includes('\r')
  const found = hasOtherEnds
    ? replaceOnce(content, Buffer.from(withReturns(old_string)), Buffer.from(withReturns(new_string)))
    : exact
  if (typeof found !== 'number') return found
  return `old_string occurs ${found === 0 ? 'nowhere' : 'more than once'} in ${path}; nothing was changed`
}

const withReturns = (text: string): string => text.replaceAll(/\r?\n/g, '\r\n')

function replaceOnce(content: Buffer, old: Buffer, replacement: Buffer): Buffer | number {
  const at = content.indexOf(old)
  if (at < 0) return 0
  if (content.indexOf(old, at + 1) >= 0) return 2
  return Buffer.concat([content.subarray(0, at), replacement, content.subarray(at + old.length)])
}

/** Whole lines; where the file's last line has no end, it gets one, and the inserted text none that it does not have. */
function inserted({ path, line = 0, new_string = '' }: EditArguments, content: Buffer): Buffer | string {
  const end = content.includes('\r\n') ? '\r\n' : '\n'
  let at = 0
  for (let count = 0; count < line; count += 1) {
    if (at >= content.length) return `${path} has only ${count} lines; nothing was changed`
    const next = content.indexOf('\n', at)
    at = next < 0 ? content.length : next + 1
  }
  const text = end === '\r\n' ? withReturns(new_string) : new_string
  const isOpen = at > 0 && content[at - 1] !== 0x0a
  const closed = text.endsWith('\n') || text === '' || isOpen ? text : `${text}${end}`
  return Buffer.concat([
    content.subarray(0, at),
    Buffer.from(isOpen ? end : ''),
    Buffer.from(closed),
    content.subarray(at),
  ])
}

/** Writes new content and keeps the old, or without new content takes the latest change back. */
async function change(
  context: ToolContext,
  { path, command }: EditArguments,
  content: Buffer | undefined,
): Promise<ToolResult> {
  const defaults = execDefaults(context, 1)
  const place = placeOf({ path, ...(context.root !== undefined && { root: context.root }) })
  if (place === undefined) return failed(`${path} ${sentences.outside}`)
  const { id } = defaults
  const env = {
    RC_SCOPE: id.scope,
    RC_NAME: 'edits',
    RC_OP: content === undefined ? 'undo' : 'write',
    ...place,
    RC_ID: `${id.scope}-${execName(id)}`,
  }
  const beginning = content === undefined ? confined.toRead : confined.toWrite
  const script = context.root === undefined ? editScript : beginning + editScript
  const request = { ...defaults, script, env, ...(content !== undefined && { stdin: content }) }
  const result = await context.runner.exec(request, { signal: context.signal })
  if (isDone(result))
    return succeeded(
      content === undefined
        ? `Took back the latest change of ${path}`
        : `Wrote ${content.length} bytes to ${path} (${command})`,
    )
  const problem = fileProblem(result)
  if (problem !== undefined) return failed(`${path} ${sentences[problem]}`)
  const code = result.outcome.type === 'exited' ? result.outcome.code : undefined
  if (code === 48) return failed(`There is no change of ${path} by edit_file to take back`)
  if (code === 49) return failed(`${path} has been changed since by something else; nothing was taken back`)
  return endOf(result, result.stderr.head.toString('utf8'), context.timeoutMs)
}
