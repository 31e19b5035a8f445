import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { Readable } from 'node:stream'
import { RollcallError } from '../../protocol/failure.ts'
import { longestTimerMs } from '../../protocol/longest-timer.ts'
import { scriptText } from '../host-sandbox/paths.ts'
import { bootstrapScript, readProbe } from './node-probe.ts'
import type { NodeProbe } from './node-probe.ts'
import type { SessionStream } from './session-stream.ts'
import { SshConnections } from './ssh-connections.ts'
import { sshError } from './ssh-errors.ts'
import { targetName } from './ssh-target.ts'
import type { SshTarget } from './ssh-target.ts'

const answerTimeoutMs = 60_000
/** Exit code where node.sh is not on the node. */
const programsMissing = 99
/** Of an answer of node.sh, so much is kept: thousands of sandboxes, a line each. */
const answerLimitBytes = 64 * 1024 * 1024

/** What one run of node.sh came to. */
export interface Answer {
  readonly code: number
  readonly stdout: string
}

export interface NodeCall {
  readonly verb: 'make' | 'start' | 'find' | 'list' | 'picture' | 'attach' | 'destroy'
  readonly name?: string
  readonly input?: string | Readable
  /** Default one minute. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** A host that sandboxes are made on: what it is, and Rollcall's program there. All state is on the node. */
export class SshNode {
  readonly #target: SshTarget
  readonly #workspace: string
  readonly #connections: SshConnections
  #probe: Promise<NodeProbe> | undefined

  /** @param workspace directory of all sandboxes, made if absent; relative to the user's home or absolute */
  constructor(target: SshTarget, workspace: string) {
    this.#target = target
    this.#workspace = workspace
    this.#connections = new SshConnections(target)
  }

  get name(): string {
    return targetName(this.#target)
  }

  /** What the node is; asked once, and again after a failure. Puts Rollcall's programs there the first time. */
  async probe(): Promise<NodeProbe> {
    this.#probe ??= this.#ask().catch((error: unknown) => {
      this.#probe = undefined
      throw error
    })
    return await this.#probe
  }

  /** Runs one verb of node.sh to its end. @throws RollcallError `provider-unavailable` when its end is not known */
  async call(call: NodeCall): Promise<Answer> {
    const command = await this.#commandLine(call)
    const answer = await this.#run(await this.#connections.exec(command), call)
    // Somebody has emptied the workspace under us: the programs are put there again.
    if (answer.code === programsMissing) this.#probe = undefined
    return answer
  }

  /** Starts a verb whose standard input and output are a conversation. */
  async converse(call: NodeCall): Promise<SessionStream> {
    return await this.#connections.exec(await this.#commandLine(call))
  }

  async close(): Promise<void> {
    await this.#connections.close()
  }

  async #commandLine({ verb, name = '' }: NodeCall): Promise<string> {
    const { home } = await this.probe()
    const program = `${home}/${programsDirectory}/node.sh`
    return `test -e ${program} && exec /bin/sh ${program} ${verb} ${home} ${name}; exit ${programsMissing}`
  }

  async #ask(): Promise<NodeProbe> {
    const script = bootstrapScript({ workspace: this.#workspace, programsDirectory, programs })
    const { code, stdout } = await this.#run(await this.#connections.exec('/bin/sh'), { input: script })
    if (code === 0) return readProbe(stdout)
    throw new RollcallError(
      'provider-unavailable',
      `${this.name}: the workspace ${this.#workspace} could not be set up: ${stdout.trim() || `exit code ${code}`}`,
    )
  }

  async #run(stream: SessionStream, call: Omit<NodeCall, 'verb'>): Promise<Answer> {
    const timeout = AbortSignal.timeout(Math.min(call.timeoutMs ?? answerTimeoutMs, longestTimerMs))
    const signal = call.signal === undefined ? timeout : AbortSignal.any([timeout, call.signal])
    const stop = (): void => void stream.destroy(new Error(timeout.aborted ? 'no answer in time' : 'cancelled'))
    signal.addEventListener('abort', stop)
    try {
      const [stdout] = await Promise.all([readText(stream), feed(stream, call.input), stream.over])
      if (stream.exitCode !== undefined) return { code: stream.exitCode, stdout }
      throw new Error('the connection was cut')
    } catch (error) {
      call.signal?.throwIfAborted()
      throw sshError(this.#target, 'be asked', error)
    } finally {
      signal.removeEventListener('abort', stop)
      stream.destroy()
    }
  }
}

const programs: Readonly<Record<string, string>> = {
  'node.sh': readFileSync(join(import.meta.dirname, 'node.sh'), 'utf8'),
  'launch.sh': scriptText('launch.sh'),
  'remove.sh': scriptText('remove.sh'),
}

/** By content, so that workers of different versions do not change each other's. */
const programsDirectory = `.programs-${createHash('sha256').update(JSON.stringify(programs)).digest('hex').slice(0, 12)}`

/** A command may end before it has read its input: its exit code says what that means. */
async function feed(stream: SessionStream, input: string | Readable = ''): Promise<void> {
  const source = typeof input === 'string' ? Readable.from([Buffer.from(input)]) : input
  await pipeline(source, stream, { end: true }).catch((error: unknown) => {
    if (stream.exitCode === undefined && !stream.readableEnded) throw error
  })
}

async function readText(stream: SessionStream): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes > answerLimitBytes) throw new Error(`its answer is longer than ${answerLimitBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
