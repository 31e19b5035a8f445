import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { AcknowledgeMark, ExecId, ExecResult } from '../protocol/exec.ts'
import { failureKinds, RollcallError } from '../protocol/failure.ts'
import { Channel } from './channel.ts'
import { ExecCall } from './exec-call.ts'
import type { FrameBody } from './frames.ts'
import { Patience } from './patience.ts'
import { encodeAcknowledge, encodeHello, encodeInput, encodeOutput, encodeSignal, encodeStop } from './requests.ts'
import type { ExecRequest, InputOutcome, LiveExecs, OutputSoFar, Runner } from './runner.ts'

export interface RunnerOptions {
  /** Opens an attachment. `sandbox-lost` is final; anything else is tried again. */
  readonly connect: () => Promise<Duplex>
  /** Asked when the stream is cut or cannot be opened. Throwing means: not known. */
  readonly isAlive: () => Promise<{ alive: true } | { alive: false; reason: string }>
  /** Silence after which the runner is asked whether it lives; after four times as much it is attached anew. Default 2 s. */
  readonly pingMs?: number
  /**
   * How long a sandbox that is said to be alive may leave everything unanswered, pings and new attachments too, and how
   * long after its timeout a command may do so, until the sandbox counts as lost. Default 2 min.
   */
  readonly silenceMs?: number
}

type Hello = Awaited<ReturnType<Runner['hello']>>

const connectTimeoutMs = 20_000
const longestBackoffMs = 2_000
/** A command is asked after when it has not answered for so many pings' time. */
const silentPings = 5
/** Before silence is taken for the end: a worker that was stopped finds that much time has passed, and must ask anew. */
const silentAttachments = 3
/** Ending everything of a scope takes the longest. */
const questionTimeoutMs = 60_000
const ignored: FrameBody = { write: () => {}, end: () => {} }

/** A request that is answered by a small frame with its number. */
interface Question {
  readonly bytes: Buffer
  readonly patience: Patience
  /** Number of its announced bytes. */
  readonly input?: number
  readonly answer: (header: readonly string[], text: Buffer, errors: Buffer) => void
  readonly reject: (error: unknown) => void
}

/** A runner on top of anything that can open a byte stream to attach.sh. Opens nothing before the first request. */
export function openRunner(options: RunnerOptions): Runner {
  return new StreamRunner(options)
}

class StreamRunner implements Runner {
  readonly #options: RunnerOptions
  readonly #calls = new Set<ExecCall>()
  readonly #questions = new Map<number, Question>()
  /** Not yet sent on the present attachment. */
  readonly #marks = new Map<string, AcknowledgeMark>()
  readonly #closed = new AbortController()
  #channel: Channel | undefined
  #serving = false
  #lost: RollcallError | undefined
  #hello: Promise<Hello> | undefined
  readonly #pingMs: number
  readonly #silenceMs: number
  #silence: Silence | undefined
  #lastNumber = 0

  constructor(options: RunnerOptions) {
    this.#options = options
    this.#pingMs = options.pingMs ?? 2_000
    this.#silenceMs = options.silenceMs ?? 120_000
  }

  async exec(request: ExecRequest, { signal }: { signal?: AbortSignal } = {}): Promise<ExecResult> {
    signal?.throwIfAborted()
    this.#assertUsable()
    const call = new ExecCall(request, new Patience(request.timeoutMs + this.#silenceMs))
    const detach = (): void => {
      call.fail(signal?.reason)
      // The rest of its answer may be terabytes, and whatever is asked next would wait behind it.
      if (call.isAnswered) this.#channel?.close()
    }
    signal?.addEventListener('abort', detach, { once: true })
    this.#calls.add(call)
    try {
      this.#send(() => call.encode(this.#nextNumber(2)))
      return await call.result
    } catch (error) {
      call.fail(error)
      throw error
    } finally {
      this.#calls.delete(call)
      signal?.removeEventListener('abort', detach)
    }
  }

  acknowledge(mark: AcknowledgeMark): void {
    this.#marks.set(mark.scope, mark)
  }

  async stop(target: { scope: string; beforePhase?: number; id?: ExecId }): Promise<void> {
    await this.#ask(
      (number) => encodeStop(number, target),
      () => undefined,
    )
  }

  writeInput(input: Parameters<LiveExecs['writeInput']>[0]): Promise<InputOutcome> {
    const announced = this.#nextNumber(1)
    return this.#ask((number) => encodeInput(number, input, announced), parseInput, announced)
  }

  readOutput(from: Parameters<LiveExecs['readOutput']>[0]): Promise<OutputSoFar> {
    return this.#ask((number) => encodeOutput(number, from, longestAnswerBytes), parseOutput)
  }

  signal(target: Parameters<LiveExecs['signal']>[0]): ReturnType<LiveExecs['signal']> {
    return this.#ask((number) => encodeSignal(number, target), parseSignal)
  }

  hello(): Promise<Hello> {
    this.#hello ??= this.#ask(encodeHello, parseHello).catch((error: unknown) => {
      this.#hello = undefined
      throw error
    })
    return this.#hello
  }

  close(): void {
    this.#closed.abort()
    this.#channel?.close()
    this.#failAll(new RollcallError('provider-unavailable', 'The runner was closed while commands were waited for'))
  }

  async #ask<T>(
    encode: (number: number) => Buffer,
    parse: (header: readonly string[], text: Buffer, errors: Buffer) => T,
    input?: number,
  ): Promise<T> {
    this.#assertUsable()
    const number = this.#nextNumber(1)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const bytes = encode(number)
    const patience = new Patience(questionTimeoutMs + this.#silenceMs)
    const answer: Question['answer'] = (...said) => resolve(parse(...said))
    this.#questions.set(number, { bytes, patience, reject, answer, ...(input !== undefined && { input }) })
    try {
      this.#send(() => bytes)
      return await promise
    } finally {
      this.#questions.delete(number)
    }
  }

  #assertUsable(): void {
    if (this.#lost) throw this.#lost
    if (this.#closed.signal.aborted) throw new RollcallError('internal', 'A closed runner was asked to run a command')
  }

  #nextNumber(count: number): number {
    this.#lastNumber += count
    return this.#lastNumber - count + 1
  }

  /** Sends at once where there is an attachment; else everything that is waited for is sent when there is one. */
  #send(encode: () => Buffer): void {
    if (this.#channel) {
      this.#sendMarks(this.#channel)
      this.#channel.send(encode())
    } else if (!this.#serving) {
      void this.#serve()
    }
  }

  #sendMarks(channel: Channel): void {
    for (const mark of this.#marks.values()) channel.send(encodeAcknowledge(mark))
    this.#marks.clear()
  }

  #isAwaited(): boolean {
    return this.#calls.size + this.#questions.size > 0
  }

  /** Keeps an attachment as long as anything is waited for. Never throws: all errors go to those who wait. */
  async #serve(): Promise<void> {
    this.#serving = true
    try {
      for (let failures = 0; this.#isAwaited() && !this.#closed.signal.aborted;) {
        const stream = await this.#connect()
        const spoke = stream !== undefined && (await this.#use(stream))
        if (spoke) this.#silence = undefined
        if (!(await this.#mayLive())) return
        failures = spoke ? 0 : failures + 1
        if (failures > 0) await this.#backOff(failures)
      }
    } finally {
      this.#serving = false
    }
  }

  /** @returns whether the runner has said anything on it */
  async #use(stream: Duplex): Promise<boolean> {
    const channel = new Channel({
      stream,
      receiver: { begin: (header) => this.#begin(header) },
      isAwaited: () => this.#isAwaited(),
      pingMs: this.#pingMs,
    })
    this.#channel = channel
    if (this.#closed.signal.aborted) channel.close()
    this.#sendMarks(channel)
    for (const question of this.#questions.values()) channel.send(question.bytes)
    for (const call of this.#calls) this.#sendAgain(channel, call)
    const watch = setInterval(() => this.#verify(channel), this.#pingMs)
    const { spoke } = await channel.ended
    clearInterval(watch)
    this.#channel = undefined
    return spoke
  }

  #verify(channel: Channel): void {
    const waited = [...this.#questions.values(), ...this.#calls]
    for (const { patience } of waited.filter(isUnanswered)) patience.spend(this.#pingMs)
    // Also of an answer that has begun again, as often as it has broken off.
    if (waited.some(({ patience }) => patience.isOver)) {
      this.#lose(silent('a command was not ended at its timeout, nor reported', this.#silenceMs))
      channel.close()
      return
    }
    for (const call of this.#calls) {
      if (call.shallVerify(silentPings * this.#pingMs)) channel.send(call.encodeVerify())
    }
  }

  #sendAgain(channel: Channel, call: ExecCall): void {
    // An answer that broke off was silent before it was given up.
    if (call.isAnswered) call.patience.spend(4 * this.#pingMs)
    try {
      channel.send(call.encode(this.#nextNumber(2)))
    } catch (error) {
      call.fail(error)
    }
  }

  async #connect(): Promise<Duplex | undefined> {
    const opening = this.#options.connect()
    const late = Symbol('late')
    const timer = new AbortController()
    try {
      const first = await Promise.race([opening, delay(connectTimeoutMs, late, { signal: timer.signal })])
      if (typeof first !== 'symbol') return first
      opening.then(
        (stream) => stream.destroy(),
        () => {},
      )
    } catch (error) {
      this.#loseIfFinal(error)
    } finally {
      timer.abort()
    }
    return undefined
  }

  async #mayLive(): Promise<boolean> {
    if (this.#lost || this.#closed.signal.aborted) return false
    try {
      const state = await this.#options.isAlive()
      if (!state.alive) this.#lose(new RollcallError('sandbox-lost', `The sandbox is gone: ${state.reason}`))
      else if (this.#isSilent()) this.#lose(silent('nothing in it answered', this.#silenceMs))
    } catch (error) {
      // What cannot be reached is not silent.
      this.#silence = undefined
      this.#loseIfFinal(error)
    }
    return this.#lost === undefined
  }

  /** Asked after each attachment that is over, of a sandbox that is said to be alive. */
  #isSilent(): boolean {
    this.#silence ??= { since: performance.now(), attachments: 0 }
    this.#silence.attachments += 1
    return this.#silence.attachments > silentAttachments && performance.now() - this.#silence.since >= this.#silenceMs
  }

  async #backOff(failures: number): Promise<void> {
    const longestMs = Math.min(50 * 2 ** failures, longestBackoffMs)
    const waitMs = longestMs * (0.5 + Math.random() / 2)
    await delay(waitMs, undefined, { signal: this.#closed.signal }).catch(() => {})
  }

  #loseIfFinal(error: unknown): void {
    if (error instanceof RollcallError && !failureKinds[error.code].retry) this.#lose(error)
  }

  #lose(error: RollcallError): void {
    this.#lost = error
    this.#failAll(error)
  }

  #failAll(error: RollcallError): void {
    for (const call of this.#calls) call.fail(error)
    for (const question of this.#questions.values()) question.reject(error)
  }

  #begin([type, ...words]: readonly string[]): FrameBody {
    switch (type) {
      case 'R':
        return this.#answer(`${words[0]} ${words[1]}`, words.slice(2))
      case 'G':
      case 'H':
      case 'I':
      case 'O':
      case 'K':
        return answerTo(this.#questions.get(Number(words[0])), words)
      case 'F':
        return this.#refused(words)
      default:
        return ignored
    }
  }

  #answer(key: string, header: readonly string[]): FrameBody {
    const call = this.#callOf(key)
    if (call === undefined) return ignored
    if (header[0] !== 'n') return call.begin(header)
    if (this.#channel) this.#sendAgain(this.#channel, call)
    return ignored
  }

  /** Requests with the same id get one frame each, all alike. */
  #callOf(key: string): ExecCall | undefined {
    for (const call of this.#calls) if (call.key === key && !call.isAnswered) return call
    return undefined
  }

  /** The attachment cannot serve, and ends. */
  #refused([reason, input]: readonly string[]): FrameBody {
    if (reason === 'input') {
      for (const call of this.#calls) if (call.hasInput(Number(input))) void call.refuse()
      for (const question of this.#questions.values()) {
        if (question.input === Number(input)) question.answer(['', 'full'], Buffer.alloc(0), Buffer.alloc(0))
      }
      return ignored
    }
    const what = reason === 'supervisor' ? 'its main process does not run' : 'its journal is gone or cannot be written'
    this.#lose(new RollcallError('sandbox-lost', `The runner in the sandbox cannot work: ${what}`))
    return ignored
  }
}

function isUnanswered(waited: Question | ExecCall): boolean {
  return !(waited instanceof ExecCall && waited.isAnswered)
}

interface Silence {
  readonly since: number
  attachments: number
}

function silent(what: string, silenceMs: number): RollcallError {
  return new RollcallError('sandbox-lost', `The sandbox is unusable: ${what} within ${silenceMs} ms`)
}

const longestAnswerBytes = 65_536

function answerTo(question: Question | undefined, header: readonly string[]): FrameBody {
  if (question === undefined) return ignored
  const texts = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  return {
    write: (stream, chunk) => {
      if (texts[stream].length < longestAnswerBytes) texts[stream] = Buffer.concat([texts[stream], chunk])
    },
    end: () => question.answer(header, texts.stdout, texts.stderr),
  }
}

const inputOutcomes = ['written', 'ended', 'closed', 'gap', 'full'] as const

function parseInput([, outcome]: readonly string[]): InputOutcome {
  return inputOutcomes.find((known) => known === outcome) ?? 'ended'
}

function parseOutput([, state, out, err]: readonly string[], stdout: Buffer, stderr: Buffer): OutputSoFar {
  const known = (['running', 'ended', 'none'] as const).find((one) => one === state) ?? 'none'
  return { state: known, stdout, stderr, stdoutBytes: Number(out), stderrBytes: Number(err) }
}

function parseSignal([, outcome]: readonly string[]): Awaited<ReturnType<LiveExecs['signal']>> {
  return (['sent', 'again', 'ended', 'none'] as const).find((known) => known === outcome) ?? 'none'
}

function parseHello([, uid, flags]: readonly string[], text: Buffer): Hello {
  return {
    bash: flags?.includes('b') ?? false,
    tar: flags?.includes('t') ?? false,
    workdir: text.toString('utf8').replace(/\n$/, ''),
    uid: Number(uid),
  }
}
