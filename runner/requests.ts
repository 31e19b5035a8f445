import { execName, type AcknowledgeMark, type ExecId } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { ExecRequest, SendableSignal } from './runner.ts'

/** Requests as attach.sh reads them: one line of shell each, announced bytes before it (runner/protocol.md). */

/** `read` costs the shell a system call per byte; from here on a fork of `dd` is cheaper. */
const inlineBytes = 2048
const blockBytes = 65_536

/** A timeout beyond this is as good as none, and stays within every shell's integers. */
const longestTimeoutMs = 365 * 24 * 3_600_000

/** Single-quoted for a request line; a newline becomes `"$_n"`, since a request is one line. */
export function quote(text: string): string {
  if (text.includes('\0')) {
    throw new RollcallError('task-invalid', `A command, path or variable has a NUL in it: ${JSON.stringify(text)}`)
  }
  return `'${text.replaceAll("'", "'\\''").replaceAll('\n', `'"$_n"'`)}'`
}

/** Name and value of every variable as `env` takes them. */
function environmentArguments(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => {
    if (!/^[^-=\0][^=\0]*$/.test(name)) {
      const expected = 'a name without =, NUL and a leading dash'
      throw new RollcallError('task-invalid', `Environment variable ${JSON.stringify(name)} must have ${expected}`)
    }
    return `${name}=${value}`
  })
}

function announcedInput(input: number, bytes: Uint8Array): Buffer[] {
  const blocks = Math.floor(bytes.length / blockBytes)
  return [
    Buffer.from(`p ${input} ${blocks} ${bytes.length % blockBytes}\n`),
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  ]
}

/**
 * Bytes of one exec request, whole, so that requests cannot mix on the stream.
 * @param input number that no other request of this attachment uses; this one may use it and the next
 * @throws RollcallError `task-invalid` for a NUL in an argument or a bad variable name
 */
export function encodeExec(request: ExecRequest, input: number): Buffer {
  const parts: Buffer[] = []
  if (request.stdin !== undefined) parts.push(...announcedInput(input, request.stdin))
  const script = Buffer.from(request.script)
  const announced = script.length > inlineBytes
  if (announced) {
    quote(request.script)
    parts.push(...announcedInput(input + 1, script))
  }
  const timeoutMs = Math.min(Math.max(request.timeoutMs, 1), longestTimeoutMs)
  const words = [
    request.id.scope,
    execName(request.id),
    request.shell ?? 'sh',
    request.user ?? '',
    request.cwd ?? '',
    String(Math.ceil(timeoutMs / 10)),
    request.input === 'open' ? '-' : request.stdin === undefined ? '' : String(input),
    announced ? String(input + 1) : '',
    announced ? '' : request.script,
    ...environmentArguments(request.env ?? {}),
  ]
  parts.push(Buffer.from(`x ${words.map(quote).join(' ')}\n`))
  return Buffer.concat(parts)
}

export function encodeAcknowledge(mark: AcknowledgeMark): Buffer {
  return Buffer.from(`a ${quote(mark.scope)} ${mark.phase} ${mark.batch}${mark.isToBeForgotten ? ' 1' : ''}\n`)
}

export function encodeStop(number: number, target: { scope: string; beforePhase?: number; id?: ExecId }): Buffer {
  const name = target.id === undefined ? '*' : execName(target.id)
  return Buffer.from(`s ${number} ${quote(target.scope)} '${name}' ${target.beforePhase ?? ''}\n`)
}

/** @param input number for the announced bytes that no other request of this attachment uses */
export function encodeInput(
  number: number,
  { id, offset, bytes, end }: { id: ExecId; offset: number; bytes: Uint8Array; end?: boolean },
  input: number,
): Buffer {
  const words = [number, quote(id.scope), execName(id), offset, bytes.length, input, end ? 1 : '']
  return Buffer.concat([...announcedInput(input, bytes), Buffer.from(`i ${words.join(' ')}\n`)])
}

export function encodeOutput(
  number: number,
  { id, stdout, stderr }: { id: ExecId; stdout: number; stderr: number },
  most: number,
): Buffer {
  return Buffer.from(`o ${number} ${quote(id.scope)} ${execName(id)} ${stdout} ${stderr} ${most}\n`)
}

export function encodeSignal(
  asked: number,
  { id, signal, number }: { id: ExecId; signal: SendableSignal; number: number },
): Buffer {
  return Buffer.from(`k ${asked} ${quote(id.scope)} ${execName(id)} ${number} ${signal}\n`)
}

export function encodeVerify(id: ExecId): Buffer {
  return Buffer.from(`v ${quote(id.scope)} ${execName(id)}\n`)
}

export function encodePing(number: number): Buffer {
  return Buffer.from(`g ${number}\n`)
}

export function encodeHello(number: number): Buffer {
  return Buffer.from(`h ${number}\n`)
}
