import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import { RollcallError } from '../../protocol/failure.ts'
import { daytonaError, isNotFound } from './daytona-errors.ts'
import { loadDaytonaSdk } from './daytona-sdk.ts'
import type { Daytona, DaytonaSandbox, DaytonaSdk } from './daytona-sdk.ts'
import type { DaytonaAccess } from './daytona-settings.ts'

/** How often a call that changes nothing, or the same when made twice, is made until its failure counts. */
const attempts = 4
/** A wait that Daytona asks for is kept here up to this long, else by whoever retries the activity. */
const longestWaitMs = 5_000
/** One request; the SDK's own limit is a day. */
const requestTimeoutMs = 60_000

/** An organisation at Daytona, spoken to through the official SDK. */
export class DaytonaAccount {
  readonly access: DaytonaAccess
  #opened: Promise<{ sdk: DaytonaSdk; client: Daytona }> | undefined
  #place: string | undefined

  constructor(access: DaytonaAccess) {
    this.access = access
  }

  /** For creations, which must not be repeated blindly. */
  async open(): Promise<{ sdk: DaytonaSdk; client: Daytona }> {
    this.#opened ??= this.#connect()
    return await this.#opened
  }

  /** The sandbox of that name or id; undefined where there is none, or only the remains of one. */
  async get(nameOrId: string): Promise<DaytonaSandbox | undefined> {
    const { client } = await this.open()
    return await this.repeat(`look up sandbox ${nameOrId}`, async () => {
      try {
        const sandbox = await client.get(nameOrId)
        return sandbox.state === 'destroyed' ? undefined : sandbox
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    })
  }

  /** All that carry these labels, as far as Daytona's index knows by now. */
  async list(labels: Record<string, string>): Promise<DaytonaSandbox[]> {
    const { client } = await this.open()
    return await this.repeat('list sandboxes', () =>
      Array.fromAsync(client.list({ labels: { ...labels }, limit: 100 })),
    )
  }

  /** The account, as the key itself says. @throws `provider-auth` when it belongs to another one than was named */
  async place(): Promise<string> {
    this.#place ??= await this.repeat('say whose the key is', () => this.#askPlace())
    return this.#place
  }

  /**
   * Makes a call again that may be made twice: after an outage, and where Daytona asks to wait, if not for long.
   * @throws RollcallError as daytona-errors.ts says
   */
  async repeat<T>(doing: string, call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await call()
      } catch (error) {
        const failure = daytonaError(doing, error)
        const pauseMs = pauseAfter(failure, attempt)
        if (attempt >= attempts || pauseMs === undefined) throw failure
        await wait(pauseMs)
      }
    }
  }

  async close(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    const client = (await opened?.catch(() => undefined))?.client
    await client?.[Symbol.asyncDispose]()
  }

  async #connect(): Promise<{ sdk: DaytonaSdk; client: Daytona }> {
    const sdk = await loadDaytonaSdk()
    const { apiKey, apiUrl, target } = this.access
    // Events would keep a connection of their own, and make a creation three times as long.
    const options = { apiKey, apiUrl, requestTimeoutMs, useDeprecatedPolling: true, otelEnabled: false }
    return { sdk, client: new sdk.Daytona({ ...options, ...(target !== undefined && { target }) }) }
  }

  async #askPlace(): Promise<string> {
    const { apiKey, apiUrl, organizationId } = this.access
    const response = await fetch(`${apiUrl}/api-keys/current`, {
      headers: { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.timeout(requestTimeoutMs),
    })
    const body: unknown = await response.json().catch(() => ({}))
    if (!response.ok) throw answeredWith(response, body)
    const key = keySchema.parse(body)
    const account = key.organizationId ?? key.userId
    if (organizationId !== undefined && key.organizationId !== undefined && key.organizationId !== organizationId) {
      throw new RollcallError(
        'provider-auth',
        `DAYTONA_API_KEY belongs to organisation ${key.organizationId}, DAYTONA_ORGANIZATION_ID is ${organizationId}: set a key of that organisation`,
      )
    }
    return `${new URL(apiUrl).host}/${account}`
  }
}

const keySchema = z.object({ userId: z.string(), organizationId: z.string().optional() })

const refusalSchema = z.object({ message: z.string() })

/** In the form of the SDK's own errors. */
function answeredWith(response: Response, body: unknown): Error {
  const said = refusalSchema.safeParse(body).data?.message ?? response.statusText
  return Object.assign(new Error(said), {
    statusCode: response.status,
    headers: Object.fromEntries(response.headers),
  })
}

function pauseAfter({ code, retryAfterMs }: RollcallError, attempt: number): number | undefined {
  if (code === 'provider-busy' && retryAfterMs !== undefined) {
    return retryAfterMs <= longestWaitMs ? retryAfterMs + Math.random() * 200 : undefined
  }
  if (code !== 'provider-unavailable') return undefined
  return 100 * 2 ** attempt * (0.5 + Math.random() / 2)
}
