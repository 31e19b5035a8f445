import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { RollcallError } from '../../protocol/failure.ts'
import { process1Path } from './isolation.ts'
import { errorCode } from './record.ts'
import type { SandboxPaths } from './paths.ts'

const run = promisify(execFile)
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants

/** What attach-loop.sh says when both FIFOs are open on its side. */
const greeting = Buffer.from('ready\n')
/** A sandbox on a machine under full load takes seconds; a loop that does not answer is stopped or gone. */
const answerTimeoutMs = 20_000

/**
 * A new attachment: a pair of FIFOs of its own, announced on the control FIFO. Nothing here blocks a thread of the
 * worker's pool: every FIFO is opened without waiting.
 * @throws RollcallError `sandbox-lost` when nobody listens inside, `provider-unavailable` when nobody answers.
 */
export async function attach(paths: SandboxPaths): Promise<Duplex> {
  const name = randomBytes(8).toString('hex')
  const [input, output] = [join(paths.channels, `${name}.in`), join(paths.channels, `${name}.out`)]
  await run('mkfifo', ['-m', '600', input, output], { env: { PATH: process1Path } })
  let held: number | undefined
  let frames: Socket | undefined
  try {
    frames = new Socket({ fd: openFifo(output, O_RDONLY), readable: true, writable: false })
    // Both ways until the other side is there: so it finds a writer, and end of file when this process dies.
    held = openFifo(input, O_RDWR)
    await announce(paths.control, name)
    await readGreeting(frames)
    const requests = new Socket({ fd: openFifo(input, O_WRONLY), readable: false, writable: true })
    const attachment = Duplex.from({ readable: frames, writable: requests })
    // A duplex whose reading side has ended takes the writing side for ended, too, and leaves its descriptor open.
    return attachment.once('close', () => requests.destroy())
  } catch (error) {
    frames?.destroy()
    throw asAttachError(error)
  } finally {
    if (held !== undefined) closeSync(held)
    await rm(input, { force: true })
    await rm(output, { force: true })
  }
}

/** Whether somebody listens for announcements. */
export function isListening(paths: SandboxPaths): boolean {
  try {
    closeSync(openFifo(paths.control, O_WRONLY))
    return true
  } catch (error) {
    if (['ENXIO', 'ENOENT'].includes(String(errorCode(error)))) return false
    throw error
  }
}

async function announce(control: string, name: string): Promise<void> {
  const fifo = openFifo(control, O_WRONLY)
  try {
    for (const deadline = performance.now() + answerTimeoutMs; ;) {
      // One write of a few bytes is atomic. The line end before it cuts off what a dying writer may have left.
      const written = tryWrite(fifo, `\nattach ${name}\n`)
      if (written || performance.now() > deadline) return
      await delay(10)
    }
  } finally {
    closeSync(fifo)
  }
}

function tryWrite(fifo: number, text: string): boolean {
  try {
    writeSync(fifo, text)
    return true
  } catch (error) {
    if (errorCode(error) === 'EAGAIN') return false
    throw error
  }
}

async function readGreeting(frames: Socket): Promise<void> {
  const timeout = AbortSignal.timeout(answerTimeoutMs)
  while (true) {
    const chunk: unknown = frames.read(greeting.length)
    if (Buffer.isBuffer(chunk)) {
      if (chunk.equals(greeting)) return
      throw new Error(`expected ${JSON.stringify(greeting.toString())}, got ${JSON.stringify(chunk.toString())}`)
    }
    await nextChange(frames, timeout)
  }
}

async function nextChange(frames: Socket, timeout: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onEnd = (): void => reject(new Error('the attachment inside ended at once'))
  const onTimeout = (): void => reject(new Error(`no answer from inside within ${answerTimeoutMs} ms`))
  frames.once('readable', resolve).once('end', onEnd).once('close', onEnd).once('error', reject)
  timeout.addEventListener('abort', onTimeout)
  try {
    await promise
  } finally {
    frames.off('readable', resolve).off('end', onEnd).off('close', onEnd).off('error', reject)
    timeout.removeEventListener('abort', onTimeout)
  }
}

/** O_NOFOLLOW and the check are against whoever replaces a FIFO by a link to a file of the host. */
function openFifo(path: string, flags: number): number {
  const fd = openSync(path, flags | O_NONBLOCK | O_NOFOLLOW)
  if (fstatSync(fd).isFIFO()) return fd
  closeSync(fd)
  throw new Error(`${path} is not a FIFO`)
}

function asAttachError(error: unknown): RollcallError {
  const reason = error instanceof Error ? error.message : String(error)
  const isGone = ['ENXIO', 'ENOENT'].includes(String(errorCode(error)))
  return isGone
    ? new RollcallError('sandbox-lost', `Nothing listens inside the sandbox any more: ${reason}`, { cause: error })
    : new RollcallError('provider-unavailable', `The sandbox could not be attached to: ${reason}`, { cause: error })
}
