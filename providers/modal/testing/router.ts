import { ServerError, Status } from 'nice-grpc'
import type { CallContext } from 'nice-grpc'
import type { ControlPlane } from './control-plane.ts'
import { missing } from './control-plane.ts'

interface ExecMessage {
  readonly taskId: string
  readonly execId: string
}

interface StartMessage extends ExecMessage {
  readonly commandArgs: readonly string[]
  readonly timeoutSecs?: number
  readonly workdir?: string
  readonly secretSources: readonly { readonly env?: { readonly contents: Record<string, string> } }[]
}

/** Exec codes over 128 of a shell are as they are; the Engine tells of no signals. */
export function routerMethods(plane: ControlPlane): Record<string, (request: never, context: CallContext) => unknown> {
  const authorized = ({ metadata }: CallContext): void => {
    if (metadata.get('authorization') === `Bearer ${plane.jwt}`) return
    throw new ServerError(Status.UNAUTHENTICATED, 'bad token')
  }
  const known = async ({ taskId, execId }: ExecMessage) => {
    const { machine } = plane.sandboxes.find((one) => one.taskId === taskId) ?? missing('Task')
    return (await machine.known(execId)) ?? missing(`Exec ${execId}`)
  }
  return {
    taskExecStart: async (request: StartMessage, context: CallContext) => {
      authorized(context)
      const { machine } = plane.running(({ taskId }) => taskId === request.taskId)
      await machine.exec(request.execId, {
        command: request.commandArgs,
        env: Object.assign({}, ...request.secretSources.map(({ env }) => env?.contents ?? {})),
        workdir: request.workdir,
        timeoutSecs: request.timeoutSecs,
      })
      return {}
    },
    taskExecStdioRead: async function* read(
      request: ExecMessage & { offset: number; fileDescriptor: number },
      context: CallContext,
    ) {
      authorized(context)
      const exec = await known(request)
      const log = request.fileDescriptor === 1 ? exec.stderr : exec.stdout
      for await (const data of log.read(request.offset, context.signal)) yield { data }
    },
    taskExecStdinWrite: async (
      request: ExecMessage & { offset: number; data: Uint8Array; eof: boolean },
      context: CallContext,
    ) => {
      authorized(context)
      const exec = await known(request)
      const { offset } = request
      if (offset > exec.received) throw new ServerError(Status.INVALID_ARGUMENT, `offset ${offset} leaves a gap`)
      const fresh = request.data.subarray(exec.received - offset)
      exec.received += fresh.length
      if (fresh.length > 0 && !exec.stdin.destroyed && !exec.stdin.write(fresh)) await drained(exec.stdin)
      if (request.eof) exec.stdin.end()
      return {}
    },
    taskExecWait: async (request: ExecMessage, context: CallContext) => {
      authorized(context)
      return { code: await (await known(request)).exit }
    },
    taskExecPoll: async (request: ExecMessage) => {
      const code = await Promise.race([(await known(request)).exit, Promise.resolve()])
      return code === undefined ? {} : { code }
    },
  }
}

async function drained(stream: NodeJS.EventEmitter): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('drain', resolve).once('close', resolve).once('error', resolve)
  await promise
  stream.off('drain', resolve).off('close', resolve).off('error', resolve)
}
