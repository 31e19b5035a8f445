import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { CapturedOutput, ExecResult } from '../../protocol/exec.ts'
import type { FailureCode } from '../../protocol/failure.ts'

/** All bytes of a stream that was not truncated. */
export function bytesOf(output: CapturedOutput): Buffer {
  assert.equal(output.truncated, false, 'the output was expected to be complete')
  return output.head
}

export function textOf(output: CapturedOutput): string {
  return bytesOf(output).toString('utf8')
}

/** @returns its stdout as text, for a command that is to end with exit code 0. */
export function succeeded(result: ExecResult): string {
  const seen = `${textOf(result.stdout).slice(0, 500)}${textOf(result.stderr).slice(0, 500)}`
  assert.deepEqual(result.outcome, { type: 'exited', code: 0 }, `the command failed: ${seen}`)
  return textOf(result.stdout)
}

export function exitedWith(result: ExecResult, code: number): void {
  assert.deepEqual(result.outcome, { type: 'exited', code })
}

/** The code of a RollcallError, or what else was thrown, as text. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

/** The promise fails with a RollcallError of this code; returns its message. */
export async function failsWith(code: FailureCode, promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof Error, 'an Error was expected')
    assert.equal(codeOf(error), code, error.stack)
    return error.message
  }
  assert.fail(`expected a failure with code ${code}, but it went through`)
}

/** Asks again until the answer is yes. The limit only bounds a failing case. */
export async function eventually(what: string, condition: () => Promise<boolean>, limitMs = 20_000): Promise<void> {
  const deadline = Date.now() + limitMs
  while (!(await condition())) {
    if (Date.now() > deadline) assert.fail(`not within ${limitMs} ms: ${what}`)
    await wait(20)
  }
}

/** A word in single quotes for sh. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/**
 * A script that prints how many processes have this in their command line. Put a letter in brackets, or the pattern
 * matches the shell that looks.
 */
export function countProcesses(pattern: string): string {
  return `grep -l ${quoted(pattern)} /proc/[0-9]*/cmdline 2>/dev/null | wc -l`
}
