import { execName, type ExecOutcome, type ExecResult } from '../protocol/exec.ts'
import { RollcallError } from '../protocol/failure.ts'
import { FrameError, type FrameBody } from './frames.ts'
import { OutputCapture } from './output.ts'
import type { Patience } from './patience.ts'
import { encodeExec, encodeVerify } from './requests.ts'
import type { ExecRequest } from './runner.ts'
import { SinkFeed } from './sink-feed.ts'

const defaultCaptureBytes = 65_536
const millisecondsPerTick = 10

/** One exec that is waited for, over as many attachments as it takes. */
export class ExecCall {
  readonly key: string
  readonly result: Promise<ExecResult>
  readonly patience: Patience
  readonly #request: ExecRequest
  readonly #feeds: { stdout?: SinkFeed; stderr?: SinkFeed } = {}
  readonly #settle: { resolve: (result: ExecResult) => void; reject: (error: unknown) => void }
  /** Numbers of its announced bytes on the present attachment. */
  #inputs: readonly number[] = []
  #isAnswered = false
  #askedAt = 0

  constructor(request: ExecRequest, patience: Patience) {
    this.#request = request
    this.patience = patience
    this.key = `${request.id.scope} ${execName(request.id)}`
    const { promise, resolve, reject } = Promise.withResolvers<ExecResult>()
    this.result = promise
    promise.catch(() => {})
    this.#settle = { resolve, reject }
    const onError = (error: unknown): void => this.fail(error)
    if (request.stdoutSink) this.#feeds.stdout = new SinkFeed(request.stdoutSink, onError)
    if (request.stderrSink) this.#feeds.stderr = new SinkFeed(request.stderrSink, onError)
  }

  /** Whether its frame has begun on the present attachment: the next one with its id is for somebody else. */
  get isAnswered(): boolean {
    return this.#isAnswered
  }

  encode(input: number): Buffer {
    this.#isAnswered = false
    this.#askedAt = performance.now()
    this.#inputs = [input, input + 1]
    return encodeExec(this.#request, input)
  }

  /** Once for every `silentMs` without an answer: whoever should give it may have been killed. */
  shallVerify(silentMs: number): boolean {
    const isDue = !this.#isAnswered && performance.now() - this.#askedAt >= silentMs
    if (isDue) this.#askedAt = performance.now()
    return isDue
  }

  encodeVerify(): Buffer {
    return encodeVerify(this.#request.id)
  }

  hasInput(input: number): boolean {
    return this.#inputs.includes(input)
  }

  /** Ends the waiting without a result; the command is not touched. */
  fail(error: unknown): void {
    this.#settle.reject(error)
    this.#feeds.stdout?.abandon()
    this.#feeds.stderr?.abandon()
  }

  /** The runner had no room for the input: the command was not started. */
  async refuse(): Promise<void> {
    await this.#finish({ ...emptyResult(), outcome: { type: 'lost', reason: 'journal-full' } })
  }

  /** @param header words after the id: state, code, began, ended, oom */
  begin(header: readonly string[]): FrameBody {
    this.#isAnswered = true
    const captureBytes = this.#request.captureBytes ?? defaultCaptureBytes
    const captures = { stdout: new OutputCapture(captureBytes), stderr: new OutputCapture(captureBytes) }
    this.#feeds.stdout?.rewind()
    this.#feeds.stderr?.rewind()
    return {
      write: (stream, chunk) => {
        captures[stream].write(chunk)
        return this.#feeds[stream]?.write(chunk)
      },
      end: async (valid) => {
        const error = valid ? requestError(header, this.#request) : undefined
        if (error !== undefined) return this.fail(error)
        await this.#finish({
          outcome: valid ? outcomeOf(header) : { type: 'lost', reason: 'acknowledged' },
          stdout: captures.stdout.result(),
          stderr: captures.stderr.result(),
          durationMs: (ticks(header[3]) - ticks(header[2])) * millisecondsPerTick,
        })
      },
    }
  }

  async #finish(result: ExecResult): Promise<void> {
    await Promise.all([this.#feeds.stdout?.end(), this.#feeds.stderr?.end()])
    this.#settle.resolve(result)
  }
}

function emptyResult(): Omit<ExecResult, 'outcome'> {
  const nothing = new OutputCapture(0).result()
  return { stdout: nothing, stderr: nothing, durationMs: 0 }
}

function ticks(word: string | undefined): number {
  if (word === undefined || !/^[0-9]{1,15}$/.test(word)) throw new FrameError('A frame has a bad number')
  return Number(word)
}

const notStarted: ExecOutcome = { type: 'lost', reason: 'journal-full' }

function outcomeOf(header: readonly string[]): ExecOutcome {
  const [state, code, , , oom] = header
  switch (state) {
    case 'x':
      return { type: 'exited', code: ticks(code), ...(oom === '1' && { oomKilled: true }) }
    case 's':
      return { type: 'signaled', signal: 'SIGKILL' }
    case 't':
      return { type: 'timed-out' }
    case 'a':
      return { type: 'lost', reason: 'acknowledged' }
    case 'l':
      return code === 'full' ? notStarted : { type: 'lost', reason: 'supervisor-gone' }
    // Output files could not be opened: like a journal without room, and not started either.
    case 'e':
      return notStarted
    default:
      throw new FrameError(`A frame has the unknown state ${JSON.stringify(state)}`)
  }
}

/** What is wrong with the request itself. */
function requestError([state, code]: readonly string[], request: ExecRequest): RollcallError | undefined {
  if (state !== 'e') return undefined
  const user = JSON.stringify(request.user)
  if (code === 'user') {
    return new RollcallError(
      'runtime-unsupported',
      `User ${user} does not exist in the sandbox: name one out of its /etc/passwd, or a number where the image has setpriv`,
    )
  }
  if (code === 'switch') {
    return new RollcallError(
      'runtime-unsupported',
      `Commands cannot run as user ${user}: the runner itself is not root in this sandbox`,
    )
  }
  return undefined
}
