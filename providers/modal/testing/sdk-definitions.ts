import { readFileSync } from 'node:fs'
import { createRequire, Module } from 'node:module'
import type { CompatServiceDefinition } from 'nice-grpc'

/** What the SDK knows of its protocol and does not export. */
export interface SdkDefinitions {
  readonly controlPlane: CompatServiceDefinition
  readonly router: CompatServiceDefinition
  /** `grpc-status-details-bin` of an answer that asks for a wait. */
  readonly encodeRetryPolicy: (retryAfterSecs: number) => Uint8Array
}

interface Codec {
  encode(message: object): { finish(): Uint8Array }
}

/**
 * The installed SDK's own definitions, always of exactly the version that is tested: its bundle is compiled once more,
 * with one line that exports them. No code of it is copied.
 */
export function sdkDefinitions(): SdkDefinitions {
  const require = createRequire(import.meta.url)
  const path = require.resolve('modal')
  const names = 'ModalClientDefinition, TaskCommandRouterDefinition, RPCStatus, RPCRetryPolicy'
  const compiled = new Module(path)
  Object.assign(compiled, { filename: path, paths: require.resolve.paths(path) ?? [] })
  const compile: unknown = Reflect.get(compiled, '_compile')
  if (typeof compile !== 'function') throw new Error('node:module has no _compile any more')
  compile.call(compiled, `${readFileSync(path, 'utf8')}\nmodule.exports = { ${names} };`, path)
  // Beside its parse: this very text has just been compiled.
  const exported = compiled.exports as {
    ModalClientDefinition?: CompatServiceDefinition
    TaskCommandRouterDefinition?: CompatServiceDefinition
    RPCStatus: Codec
    RPCRetryPolicy: Codec
  }
  const { ModalClientDefinition: controlPlane, TaskCommandRouterDefinition: router } = exported
  if (controlPlane === undefined || router === undefined) {
    throw new Error(`The SDK at ${path} has other definitions than those of modal 0.11.1.`)
  }
  return {
    controlPlane,
    router,
    encodeRetryPolicy: (retryAfterSecs) => {
      const value = exported.RPCRetryPolicy.encode({ retryAfterSecs }).finish()
      const detail = { typeUrl: 'type.googleapis.com/modal.client.RPCRetryPolicy', value }
      return exported.RPCStatus.encode({ code: 8, message: '', details: [detail] }).finish()
    },
  }
}
