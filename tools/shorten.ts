import type { CapturedOutput } from '../protocol/exec.ts'

/** What an agent sees of a long output, in characters. */
const longestOutput = 30_000

/** Cuts a long text in the middle, where a mark says how much is missing. */
export function shorten(text: string): string {
  if (text.length <= longestOutput) return text
  return joined(text, text, text.length)
}

/** Text of a command's stream, for an agent. What the runner itself has left out is counted in bytes. */
export function shortenOutput(output: CapturedOutput): string {
  const head = output.head.toString('utf8')
  if (!output.truncated) return shorten(head)
  return joined(head, output.tail.toString('utf8'), output.bytes)
}

function joined(head: string, tail: string, size: number): string {
  const half = longestOutput / 2
  const first = wholeCharacters(head.slice(0, half), 'end')
  const last = wholeCharacters(tail.slice(-half), 'start')
  return `${first}\n[… ${size - first.length - last.length} of ${size} characters left out …]\n${last}`
}

/** Without the half of a surrogate pair, or of a UTF-8 sequence, at the side of the cut. */
function wholeCharacters(text: string, side: 'start' | 'end'): string {
  return side === 'start' ? text.replace(/^[\uDC00-\uDFFF\uFFFD]+/, '') : text.replace(/[\uD800-\uDBFF\uFFFD]+$/, '')
}
