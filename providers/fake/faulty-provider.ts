import { Duplex } from 'node:stream'
import { RollcallError } from '../../protocol/failure.ts'
import type { Provider } from '../contract/provider.ts'
import { withExecFaults } from './faulty-attachment.ts'
import type { Fault, FaultScript, FaultyCall } from './faults.ts'

export interface FaultyProviderOptions {
  /** Does the work. */
  readonly sandboxes: Provider
  readonly script: FaultScript
  /** Ends a sandbox as a crash would: it stays there, dead. */
  readonly kill: (name: string) => Promise<void>
}

/** A provider that does what `sandboxes` does, except where the script says otherwise. */
export function createFaultyProvider({ sandboxes, script, kill }: FaultyProviderOptions): Provider {
  const meet = <T>(call: FaultyCall, name: string | undefined, act: () => Promise<T>): Promise<T> =>
    meetFault({ script, call, act, die: () => (name === undefined ? Promise.resolve() : kill(name)) })
  return {
    ...sandboxes,
    createOrAdopt: (request) => meet('create', request.name, () => sandboxes.createOrAdopt(request)),
    find: (name) => meet('find', name, () => sandboxes.find(name)),
    destroy: (name) => meet('destroy', name, () => sandboxes.destroy(name)),
    list: (labels) => meet('list', undefined, () => sandboxes.list(labels)),
    connect: (name) =>
      meet('connect', name, async () =>
        withExecFaults({ script, connection: await sandboxes.connect(name), die: () => kill(name) }),
      ),
  }
}

interface FaultyAct<T> {
  readonly script: FaultScript
  readonly call: FaultyCall
  readonly act: () => Promise<T>
  readonly die: () => Promise<void>
}

async function meetFault<T>({ script, call, act, die }: FaultyAct<T>): Promise<T> {
  const fault = await script.next(call)
  switch (fault?.effect) {
    case undefined:
      return await act()
    case 'throw-before':
      throw scripted(fault)
    case 'busy':
      throw new RollcallError('provider-busy', `Scripted: ${call} number ${fault.nth} finds no room`, {
        retryAfterMs: fault.retryAfterMs ?? 100,
      })
    case 'throw-after':
      await act()
      throw scripted(fault)
    case 'late':
      script
        .released()
        .then(act)
        .catch(() => undefined)
      throw scripted(fault)
    case 'die':
      return await actAndDie(die, call, act)
    case 'hang':
      await script.released()
      return await act()
    case 'cut': {
      const answer = await act()
      if (answer instanceof Duplex) answer.destroy()
      return answer
    }
  }
}

/** A sandbox that is being made can only die afterwards; any other call finds it dead. */
async function actAndDie<T>(die: () => Promise<void>, call: FaultyCall, act: () => Promise<T>): Promise<T> {
  if (call !== 'create') {
    await die()
    return await act()
  }
  const answer = await act()
  await die()
  return answer
}

function scripted(fault: Fault): RollcallError {
  const lost = fault.effect === 'throw-after' || fault.effect === 'late'
  const when = lost ? 'its answer is lost' : 'nothing has happened'
  const code = fault.code ?? 'provider-unavailable'
  return new RollcallError(code, `Scripted: ${fault.on} number ${fault.nth} fails, ${when}`)
}
