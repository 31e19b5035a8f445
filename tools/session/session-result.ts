import type { CapturedOutput } from '../../protocol/exec.ts'
import { shortenOutput } from '../shorten.ts'
import { endOf, invalid, succeeded, type ToolResult } from '../tool.ts'
import type { SessionReport } from './session.ts'

export interface SessionWording {
  /** `session`, `interpreter`. */
  readonly noun: string
  /** How to go on with what still runs. */
  readonly goOn: string
}

/** What an agent is told of a call to a session: what was written, then in brackets how things stand. */
export function sessionResult(report: SessionReport, waitedMs: number, words: SessionWording): ToolResult {
  const { noun } = words
  const full = '[it was killed: it had written more than 256 MiB]\n'
  const said = report.isFull ? lined(saidOf(report, noun)) + full : saidOf(report, noun)
  const text = lined(said)
  const { state } = report
  switch (state.type) {
    case 'finished': {
      const isGood = state.code === 0
      const output = isGood ? said : `${text}[exit code ${state.code}]`
      return { ok: isGood, outcome: 'exited', exitCode: state.code, output }
    }
    case 'running':
      return running(`${text}[still running after ${waitedMs / 1000} s. ${words.goOn}]`)
    case 'ended': {
      const next = `the next call begins a new one, with the directory and variables of the beginning`
      if (state.code === 'killed') return gone(`${text}[the ${noun} was killed; ${next}]`)
      const output = `${text}[the ${noun} has ended with exit code ${state.code}; ${next}]`
      return { ok: state.code === 0, outcome: 'exited', exitCode: state.code, output }
    }
    case 'over':
      return gone(`${text}[the ${noun} had ended: ${endingWords(state.code)}]`)
    case 'busy':
      return invalid(`[not run: an earlier command is still running in this ${noun}. ${words.goOn}]`)
    case 'idle':
      return { ...succeeded(`[nothing is running in this ${noun}]`) }
    case 'unread':
      return running(`${text}[the running command has not read all of the input, and what was left of it is dropped]`)
    case 'no-tty':
      return invalid(
        '[not done: this sandbox cannot make a terminal, since it has neither script (util-linux) nor python3. ' +
          'Use the program without tty, in a form that needs no terminal]',
      )
    case 'none':
      return gone(`[there is no such ${noun}]`)
    case 'failed':
      return endOf(state.result, state.result.stderr.head.toString('utf8'), waitedMs)
  }
}

const running = (output: string): ToolResult => ({ ok: false, outcome: 'running', output })
const gone = (output: string): ToolResult => ({ ok: false, outcome: 'lost', output })

const endingWords = (code: number | 'killed'): string => (code === 'killed' ? 'killed' : `exit code ${code}`)

function saidOf(report: SessionReport, noun: string): string {
  const { output, before, after } = report
  const earlier =
    after === undefined
      ? ''
      : `[the earlier ${noun} had ended: ${endingWords(after.code)}; this is a new one]\n${lined(shortenOutput(after.output))}`
  if (before === undefined) return earlier + shortenOutput(output)
  const head = `[the command before had ended meanwhile: ${endingWords(before.code)}. What it wrote since:]\n`
  const [first, rest] = split(output, before.bytes)
  return `${earlier}${head}${lined(first)}[this command:]\n${rest}`
}

/** Where too much was written to hold all of it, the place of the seam may not be known. */
function split(output: CapturedOutput, bytes: number): [string, string] {
  if (output.truncated && bytes > output.head.length) return [shortenOutput(output), '']
  const first = output.head.subarray(0, bytes)
  const rest = { ...output, head: output.head.subarray(bytes), bytes: output.bytes - bytes }
  const whole = { head: first, tail: Buffer.alloc(0), bytes: first.length, truncated: false }
  return [shortenOutput(whole), shortenOutput(rest)]
}

function lined(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
