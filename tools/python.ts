import { z } from 'zod'
import type { ImageReference } from '../agents/agent.ts'
import { sessionResult } from './session/session-result.ts'
import {
  callSession,
  keyNames,
  readImage,
  sessionParts,
  type SessionCall,
  type SessionReport,
} from './session/session.ts'
import { builtInTool, failed, type ToolContext, type ToolResult } from './tool.ts'

const defaultWaitMs = 60_000
const answerWaitMs = 10_000
const answerQuietMs = 300
/** After a key a program may take a moment to end. */
const keyQuietMs = 1_000
/** Of one cell; more are named and left out. */
const mostImages = 8

const kind = 'python'
const name = 'main'

export const pythonTool = builtInTool({
  name: 'python',
  description:
    'Runs Python in an interpreter that is kept: variables, functions and imports carry over to the next call. Shows ' +
    'what is printed and the value of the last expression; plots of matplotlib and display(image) come back as images. ' +
    'Code that takes longer than timeout_ms runs on: call again without code to see more, with input to answer ' +
    'input(), or with keys ["C-c"] to interrupt it.',
  arguments: z
    .strictObject({
      code: z.string().min(1).optional().describe('The code, of any number of lines'),
      timeout_ms: z.number().int().positive().optional().describe('The call returns after this time; the code runs on'),
      input: z.string().optional().describe('Written to the running code, verbatim; end a line with \\n'),
      keys: z
        .array(z.enum(keyNames).exclude(['C-z']))
        .max(16)
        .optional()
        .describe('C-c interrupts, C-d ends the input'),
      restart: z.boolean().optional().describe('Ends the interpreter: all variables are gone'),
    })
    .refine(({ code, input, keys, restart }) => {
      const answers = input !== undefined || keys !== undefined
      return [code !== undefined, answers, restart === true].filter(Boolean).length <= 1
    }, 'code, input or keys, and restart are calls of their own'),
  run: async ({ code, timeout_ms, input, keys, restart }, context) => {
    const askedMs = timeout_ms ?? context.callTimeoutMs
    const common = { kind, name } as const
    if (restart) {
      await callSession(context, { ...common, op: 'end', waitMs: 0 })
      return { ok: true, outcome: 'exited', exitCode: 0, output: '[the interpreter has been ended]' }
    }
    if (code !== undefined) {
      const waitMs = askedMs ?? Math.min(context.timeoutMs, defaultWaitMs)
      return finish(context, { ...common, op: 'run', bytes: Buffer.from(code), waitMs })
    }
    const waitMs = askedMs ?? Math.min(context.timeoutMs, answerWaitMs)
    return finish(context, {
      ...common,
      op: 'look',
      waitMs,
      ...((input !== undefined || keys !== undefined) && { quietMs: keys === undefined ? answerQuietMs : keyQuietMs }),
      ...(input !== undefined && { bytes: Buffer.from(input) }),
      ...(keys !== undefined && { keys }),
    })
  },
})

const words = {
  noun: 'interpreter',
  goOn: 'Call again without code to see more, with input to write to it, or with keys ["C-c"] to interrupt it',
}

async function finish(context: ToolContext, call: SessionCall): Promise<ToolResult> {
  const report = await callSession(context, call)
  if (report.state.type === 'failed' && isMissing(report.state.result)) {
    return failed('There is no python3 in this sandbox: use bash, or install Python first')
  }
  const result = sessionResult(report, call.waitMs, words)
  return report.images === 0 ? result : withImages(context, report, result)
}

function isMissing({ outcome }: Extract<SessionReport['state'], { type: 'failed' }>['result']): boolean {
  return outcome.type === 'exited' && outcome.code === 127
}

async function withImages(context: ToolContext, report: SessionReport, result: ToolResult): Promise<ToolResult> {
  const { keepImage } = context
  const text = result.output === '' || result.output.endsWith('\n') ? result.output : `${result.output}\n`
  if (keepImage === undefined) return { ...result, output: `${text}[${report.images} images, which are not kept here]` }
  const images: ImageReference[] = []
  for (let index = 0; index < Math.min(report.images, mostImages); index += 1) {
    const bytes = await readImage(context, { kind, name, index })
    if (bytes === undefined) continue
    const mediaType = 'image/png'
    const key = await keepImage({ id: context.execId(sessionParts.images + index), bytes, mediaType })
    images.push({ key, mediaType, bytes: bytes.length })
  }
  const missing = report.images - images.length
  const more = missing === 0 ? '' : `; ${missing} more could not be kept`
  return { ...result, output: `${text}[${images.length} images${more}]`, images }
}
