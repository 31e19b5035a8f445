import { randomUUID } from 'node:crypto'
import type Docker from 'dockerode'
import { createServer, ServerError, Status } from 'nice-grpc'
import type { CallContext, CompatServiceDefinition } from 'nice-grpc'
import { ControlPlane } from './control-plane.ts'
import { Faults } from './faults.ts'
import { resultStatus } from './machine.ts'
import { routerMethods } from './router.ts'
import { sdkDefinitions } from './sdk-definitions.ts'

type Methods = Readonly<Record<string, (request: never, context: CallContext) => unknown>>

/** A server on loopback that speaks Modal's protocol. What it calls sandboxes are containers of the local Engine. */
export interface ModalServer {
  /** For MODAL_SERVER_URL. */
  readonly url: string
  readonly plane: ControlPlane
  readonly faults: Faults
  /** Cuts every connection to commands, as a failing network does; the next ones find it working. */
  cutRouter(): Promise<void>
  /** Ends everything that was made. */
  stop(): Promise<void>
}

/** @param binds directories of the host that every sandbox has, as the Engine writes them: `/path:/path/inside` */
export async function startModalServer(docker: Docker, binds: readonly string[] = []): Promise<ModalServer> {
  const { controlPlane, router, encodeRetryPolicy } = sdkDefinitions()
  const faults = new Faults(encodeRetryPolicy)
  const label = randomUUID()
  let routerPort = 0
  const plane = new ControlPlane({ docker, label, binds, routerUrl: () => `https://127.0.0.1:${routerPort}` })
  const listen = async (definition: CompatServiceDefinition, methods: Methods, port = 0) => {
    const server = createServer({ 'grpc.max_receive_message_length': 100 * 1024 * 1024 }).use(faults.middleware())
    server.add(definition, whole(definition, methods))
    return { server, port: await server.listen(`127.0.0.1:${port}`) }
  }
  const control = await listen(controlPlane, plane.methods())
  let commands = await listen(router, routerMethods(plane))
  routerPort = commands.port
  return {
    url: `http://127.0.0.1:${control.port}`,
    plane,
    faults,
    cutRouter: async () => {
      commands.server.forceShutdown()
      commands = await listen(router, routerMethods(plane), routerPort)
    },
    stop: async () => {
      await Promise.all(plane.sandboxes.map(({ machine }) => machine.end(resultStatus.terminated)))
      await plane.images.remove()
      control.server.forceShutdown()
      commands.server.forceShutdown()
    },
  }
}

/** A server must have every method of a service: those that nothing here needs say so. */
function whole(definition: CompatServiceDefinition, methods: Methods): Methods {
  const unimplemented = (name: string) => async () => {
    throw new ServerError(Status.UNIMPLEMENTED, `the test server has no ${name}`)
  }
  const known: unknown = Reflect.get(definition, 'methods')
  const names = Object.keys(known instanceof Object ? known : {})
  const unknown = Object.keys(methods).find((name) => !names.includes(name))
  if (unknown !== undefined) throw new Error(`The SDK knows no method ${unknown}.`)
  return Object.fromEntries(names.map((name) => [name, methods[name] ?? unimplemented(name)]))
}
