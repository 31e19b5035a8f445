import type * as Sdk from 'modal'
import type { App, ModalClient, ModalClientParams } from 'modal'
import { RollcallError } from '../../protocol/failure.ts'
import { isNotFound, modalError } from './modal-errors.ts'
import { readRetryAfter } from './retry-after.ts'
import type { ModalSettings } from './modal-settings.ts'

type Middleware = NonNullable<ModalClientParams['grpcMiddleware']>[number]

/** `modal@latest` on npm is a window for the browser by somebody else: nothing but this version is known to be right. */
const sdkVersion = '0.11.1'

/** How long the SDK itself waits where the server asks to slow down; after that it is told to whoever asked. */
const throttleWaitSeconds = 10

/** The SDK with one account's credentials, and the app there that sandboxes belong to. */
export class ModalAccount {
  readonly settings: ModalSettings
  readonly #client: ModalClient
  /** What servers have asked for, by the error in which the SDK reports that it did not get through. */
  readonly #retryAfterMs: WeakMap<object, number>
  #app: Promise<App> | undefined
  #usable: Promise<void> | undefined

  private constructor(settings: ModalSettings, client: ModalClient, retryAfterMs: WeakMap<object, number>) {
    this.settings = settings
    this.#client = client
    this.#retryAfterMs = retryAfterMs
  }

  /**
   * Loads the SDK; reaches nothing. Which server it talks to is the SDK's own affair: `MODAL_SERVER_URL` of the process.
   * @throws `configuration-invalid` where the SDK is not installed, or is another package of that name
   */
  static async open(settings: ModalSettings): Promise<ModalAccount> {
    const sdk = await loadSdk()
    const retryAfterMs = new WeakMap<object, number>()
    const { tokenId, tokenSecret, environment } = settings
    const client = new sdk.ModalClient({
      tokenId,
      tokenSecret,
      ...(environment !== undefined && { environment }),
      maxThrottleWaitSecs: throttleWaitSeconds,
      logLevel: 'error',
      grpcMiddleware: [noteRetryAfter(retryAfterMs)],
    })
    if (client.version() !== sdkVersion) throw wrongSdk(client.version())
    return new ModalAccount(settings, client, retryAfterMs)
  }

  /** One thing asked of Modal. @throws RollcallError that says what it means */
  async ask<T>(doing: string, call: (client: ModalClient) => Promise<T>): Promise<T> {
    try {
      return await call(this.#client)
    } catch (error) {
      throw this.meaningOf(doing, error)
    }
  }

  meaningOf(doing: string, error: unknown): RollcallError {
    const throttledMs = typeof error === 'object' && error !== null ? this.#retryAfterMs.get(error) : undefined
    return modalError(doing, error, throttledMs)
  }

  /** For callers that look at the error themselves. */
  get client(): ModalClient {
    return this.#client
  }

  /** Made where it is not there yet; the same for everybody who asks by its name. */
  async app(): Promise<App> {
    this.#app ??= this.ask(`open the app ${this.settings.app}`, (client) =>
      client.apps.fromName(this.settings.app, { createIfMissing: true }),
    )
    try {
      return await this.#app
    } catch (error) {
      this.#app = undefined
      throw error
    }
  }

  /**
   * Whether the account can be used as the settings say: credentials, environment and secrets by name. Makes nothing, and
   * asks once.
   * @throws `provider-auth`, `secret-missing`
   */
  async assertUsable(): Promise<void> {
    this.#usable ??= this.#assertUsable()
    try {
      await this.#usable
    } catch (error) {
      this.#usable = undefined
      throw error
    }
  }

  /** One small question, whatever the answer. */
  async ping(): Promise<void> {
    const { app } = this.settings
    await this.ask(`look for the app ${app}`, async ({ apps }) => {
      // It is made with the first sandbox.
      await apps.fromName(app).catch((error: unknown) => {
        if (!isNotFound(error)) throw error
      })
    })
  }

  async #assertUsable(): Promise<void> {
    const { secrets, registrySecret } = this.settings
    await this.ping()
    for (const name of [...secrets, ...(registrySecret === undefined ? [] : [registrySecret])]) {
      await this.ask(`look for the secret ${name}`, (client) => requireSecret(client, name))
    }
  }

  close(): void {
    this.#client.close()
  }
}

async function requireSecret(client: ModalClient, name: string): Promise<void> {
  try {
    await client.secrets.fromName(name)
  } catch (error) {
    if (!isNotFound(error)) throw error
    const remedy = `\`modal secret create ${name} …\` makes it.`
    throw new RollcallError('secret-missing', `Modal has no secret ${name} in this account: ${remedy}`)
  }
}

async function loadSdk(): Promise<Pick<typeof Sdk, 'ModalClient'>> {
  try {
    const sdk = await import('modal')
    if (typeof sdk.ModalClient === 'function') return sdk
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
    if (!isAbsent) throw error
    throw new RollcallError(
      'configuration-invalid',
      `Provider modal needs the package modal, which is not installed: npm install modal@${sdkVersion} (this version; modal@latest is something else).`,
    )
  }
  throw wrongSdk('no ModalClient in it')
}

function wrongSdk(found: string): RollcallError {
  return new RollcallError(
    'configuration-invalid',
    `Provider modal found another package named modal (${found}): npm install modal@${sdkVersion}, this version.`,
  )
}

/** The SDK appends what it is given to its own, so that this one sees what is left of an error after its retries. */
function noteRetryAfter(retryAfterMs: WeakMap<object, number>): Middleware {
  return async function* note(call, options) {
    let details: Uint8Array | undefined
    const onTrailer: typeof options.onTrailer = (trailer) => {
      details = trailer.get('grpc-status-details-bin') ?? undefined
      options.onTrailer?.(trailer)
    }
    try {
      return yield* call.next(call.request, { ...options, onTrailer })
    } catch (error) {
      const askedMs = details === undefined ? undefined : readRetryAfter(details)
      if (askedMs !== undefined && typeof error === 'object' && error !== null) retryAfterMs.set(error, askedMs)
      throw error
    }
  }
}
