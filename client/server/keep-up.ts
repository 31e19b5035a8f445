import { setTimeout as delay } from 'node:timers/promises'
import { answersOn } from './ports.ts'
import { ensureServer, isStopped } from './server.ts'
import type { ServerOptions } from './server.ts'

/** A call to a server that has died fails only after ten seconds and more of retries; its port tells at once. */
const lookEveryMs = 500
const answerWithinMs = 2_000

/**
 * Starts the embedded server again whenever it has died, until `stop`. Any number of processes may do this at once.
 * Never throws: who needs the server meets the same error and tells it.
 */
export async function keepServerUp(
  server: ServerOptions & { readonly address: string; readonly stop: AbortSignal },
): Promise<void> {
  const { address, stop } = server
  const port = Number(address.slice(address.lastIndexOf(':') + 1))
  while (!stop.aborted) {
    const isUp = await answersOn(port, answerWithinMs)
    if (!isUp && !stop.aborted) await reviveServer(server).catch(() => undefined)
    await delay(lookEveryMs, undefined, { signal: stop, ref: false }).catch(() => undefined)
  }
}

/** Starts a server that has died; one that somebody has stopped stays down. */
export async function reviveServer(server: ServerOptions): Promise<void> {
  if (await isStopped(server.stateDirectory)) return
  server.onProgress('the Temporal server does not answer: starting it again if it has died')
  await ensureServer(server)
}
