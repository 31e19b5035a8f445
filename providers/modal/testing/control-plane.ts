import { randomBytes } from 'node:crypto'
import type Docker from 'dockerode'
import { ServerError, Status } from 'nice-grpc'
import type { CallContext } from 'nice-grpc'
import { Machine, resultStatus } from './machine.ts'
import { ServerImages, type ImageRequest } from './server-images.ts'

/** Fields of Modal's messages, as far as they are used; the SDK's codecs have read them. */
interface Tag {
  readonly tagName: string
  readonly tagValue: string
}

export interface Definition {
  readonly entrypointArgs: readonly string[]
  readonly imageId: string
  readonly secretIds: readonly string[]
  readonly resources?: {
    readonly memoryMbMax: number
    readonly milliCpuMax: number
    readonly gpuConfig?: { readonly count: number; readonly gpuType: string }
  }
  readonly timeoutSecs: number
  readonly idleTimeoutSecs?: number
  readonly workdir?: string
  readonly blockNetwork: boolean
  readonly networkAccess?: {
    readonly networkAccessType: number
    readonly allowedCidrs: readonly string[]
    readonly allowedDomains: readonly string[]
  }
  readonly name?: string
}

interface CreateMessage {
  readonly appId: string
  readonly definition: Definition
  readonly tags: readonly Tag[]
  readonly secretSources?: readonly {
    readonly secretId?: string
    readonly env?: { readonly contents: Record<string, string> }
  }[]
}

export interface ServerSandbox {
  readonly id: string
  readonly taskId: string
  readonly appId: string
  readonly definition: Definition
  readonly machine: Machine
  readonly createdAt: number
  readonly isOld: boolean
  tags: readonly Tag[]
}

export const credentials = { tokenId: 'ak-rollcalltest', tokenSecret: 'as-rollcalltest' } as const

interface ById {
  readonly sandboxId: string
}

interface ByName {
  readonly sandboxName: string
  readonly includeTerminated: boolean
}

/** The account: apps, images, secrets and sandboxes, as the SDK asks for them. */
export class ControlPlane {
  readonly sandboxes: ServerSandbox[] = []
  readonly images: ServerImages
  readonly secrets = new Map<string, { name?: string; values: Record<string, string> }>()
  readonly jwt = `${base64({ alg: 'none' })}.${base64({ exp: Math.floor(Date.now() / 1000) + 36_000 })}.none`
  readonly #docker: Docker
  readonly #label: string
  readonly #binds: readonly string[]
  readonly #routerUrl: () => string
  readonly #byKey = new Map<string, Promise<ServerSandbox>>()
  readonly #apps = new Set<string>()
  #lastCreated = 0

  constructor(options: { docker: Docker; label: string; binds: readonly string[]; routerUrl: () => string }) {
    this.#docker = options.docker
    this.#label = options.label
    this.#binds = options.binds
    this.#routerUrl = options.routerUrl
    this.images = new ServerImages(options.docker, options.label)
  }

  /** The methods that Rollcall's calls come to. */
  methods(): Record<string, (request: never, context: CallContext) => unknown> {
    return {
      authTokenGet: (_request: unknown, { metadata }: CallContext) => this.#authenticate(metadata),
      environmentGetOrCreate: () => ({
        environmentId: 'en-1',
        metadata: { name: 'main', settings: { imageBuilderVersion: '2025.06', webhookSuffix: '' } },
      }),
      appGetOrCreate: (request: { appName: string; objectCreationType: number }) => this.#app(request),
      secretGetOrCreate: (request: { deploymentName: string; envDict: Record<string, string> }) =>
        this.#secret(request),
      imageGetOrCreate: (request: ImageRequest) => ({ imageId: this.images.getOrCreate(request) }),
      imageJoinStreaming: (request: { imageId: string }) => this.#followBuild(request.imageId),
      imageGetByTag: ({ tag }: { tag: string }) => ({ imageId: this.images.byName(tag) ?? missing(`Image ${tag}`) }),
      ...this.#sandboxMethods(),
    }
  }

  /** @throws NOT_FOUND */
  running(match: (sandbox: ServerSandbox) => boolean): ServerSandbox {
    return this.sandboxes.find((one) => one.machine.result === undefined && match(one)) ?? missing('Task')
  }

  #sandboxMethods(): Record<string, (request: never, context: CallContext) => unknown> {
    const tagsOf = ({ sandboxId }: ById) => ({ tags: this.#known(sandboxId).tags })
    const setTags = ({ sandboxId, tags }: ById & { tags: readonly Tag[] }) => {
      this.#known(sandboxId).tags = tags
      return {}
    }
    const access = () => ({ jwt: this.jwt, url: this.#routerUrl(), workerIpv4Address: '' })
    const taskId = ({ sandboxId }: ById) => ({ taskId: this.#known(sandboxId).taskId })
    return {
      sandboxCreateV2: (request: CreateMessage, context: CallContext) => this.#create(request, context, false),
      sandboxCreate: (request: CreateMessage, context: CallContext) => this.#create(request, context, true),
      sandboxGetFromNameV2: (request: ByName) => this.#fromName(request, false),
      sandboxGetFromName: (request: ByName) => this.#fromName(request, true),
      sandboxListV2: (request: { appId: string; beforeTimestamp: number; tags: readonly Tag[] }) => this.#list(request),
      sandboxWaitV2: (request: ById & { timeout: number }) => this.#wait(request),
      sandboxWait: (request: ById & { timeout: number }) => this.#wait(request),
      sandboxTerminateV2: ({ sandboxId }: ById) => this.#terminate(sandboxId),
      sandboxTerminate: ({ sandboxId }: ById) => this.#terminate(sandboxId),
      sandboxTagsGetV2: tagsOf,
      sandboxTagsGet: tagsOf,
      sandboxTagsSetV2: setTags,
      sandboxTagsSet: setTags,
      sandboxGetTaskIdV2: taskId,
      sandboxGetTaskId: taskId,
      sandboxGetCommandRouterAccess: access,
      taskGetCommandRouterAccess: access,
    }
  }

  #authenticate(metadata: CallContext['metadata']): { token: string } {
    const isKnown =
      metadata.get('x-modal-token-id') === credentials.tokenId &&
      metadata.get('x-modal-token-secret') === credentials.tokenSecret
    if (!isKnown) throw new ServerError(Status.UNAUTHENTICATED, 'Token ID is malformed')
    return { token: this.jwt }
  }

  /** Found, or made where the caller says so. */
  #app({ appName, objectCreationType }: { appName: string; objectCreationType: number }): { appId: string } {
    if (objectCreationType !== 0) this.#apps.add(appName)
    return this.#apps.has(appName) ? { appId: `ap-${appName}` } : missing(`App ${appName}`)
  }

  #secret(request: { deploymentName: string; envDict: Record<string, string> }): { secretId: string } {
    const { deploymentName, envDict } = request
    if (deploymentName !== '') {
      const known = [...this.secrets].find(([, { name }]) => name === deploymentName)
      return { secretId: known?.[0] ?? missing(`Secret ${deploymentName}`) }
    }
    const secretId = `st-${randomBytes(11).toString('hex')}`
    this.secrets.set(secretId, { values: envDict })
    return { secretId }
  }

  async *#followBuild(imageId: string): AsyncGenerator<object> {
    const result = (await this.images.result(imageId)) ?? missing(`Image ${imageId}`)
    yield { result, taskLogs: [], entryId: '1', eof: true }
  }

  /** A call that is repeated carries the same key, and gets the same sandbox. */
  async #create(request: CreateMessage, context: CallContext, isOld: boolean): Promise<object> {
    const key = context.metadata.get('x-idempotency-key') ?? randomBytes(8).toString('hex')
    const known = this.#byKey.get(key) ?? this.#make(request, isOld)
    this.#byKey.set(key, known)
    known.catch(() => this.#byKey.delete(key))
    const { id, taskId } = await known
    const commandRouterAccess = { jwt: this.jwt, url: this.#routerUrl(), workerIpv4Address: '' }
    return isOld ? { sandboxId: id } : { sandboxId: id, taskId, tunnels: [], commandRouterAccess }
  }

  async #make({ appId, definition, tags, secretSources }: CreateMessage, isOld: boolean): Promise<ServerSandbox> {
    const holder = this.sandboxes.find(
      ({ machine, definition: { name } }) =>
        machine.result === undefined && name !== undefined && name === definition.name,
    )
    if (holder !== undefined) {
      throw new ServerError(Status.ALREADY_EXISTS, `Sandbox with name '${definition.name}' already exists`)
    }
    this.#lastCreated = Math.max(this.#lastCreated + 0.001, Date.now() / 1000)
    const ofSecret = (id: string) => this.secrets.get(id)?.values ?? missing(`Secret ${id}`)
    const sources = (secretSources ?? []).map(({ secretId, env }) => env?.contents ?? ofSecret(secretId ?? ''))
    const environments = [...definition.secretIds.map(ofSecret), ...sources]
    const machine = new Machine(this.#docker, {
      image: this.images.reference(definition.imageId),
      command: definition.entrypointArgs,
      env: Object.assign({}, ...environments),
      workdir: definition.workdir,
      hasNetwork: definition.networkAccess?.networkAccessType !== 2 && !definition.blockNetwork,
      memoryMiB: definition.resources?.memoryMbMax ?? 0,
      milliCpus: definition.resources?.milliCpuMax ?? 0,
      timeoutSecs: definition.timeoutSecs,
      idleTimeoutSecs: definition.idleTimeoutSecs,
      label: this.#label,
      binds: this.#binds,
    })
    // The shape of an id says which kind it is: one of the older has 22 letters and digits.
    const id = `sb-${randomBytes(16)
      .toString('hex')
      .slice(0, isOld ? 22 : 26)}`
    const taskId = `ta-${randomBytes(11).toString('hex')}`
    const sandbox = { id, taskId, appId, definition, machine, createdAt: this.#lastCreated, isOld, tags }
    this.sandboxes.push(sandbox)
    await machine.start()
    return sandbox
  }

  #fromName({ sandboxName, includeTerminated }: ByName, isOld: boolean): { sandboxId: string } {
    const named = this.sandboxes
      .filter((one) => one.definition.name === sandboxName && one.isOld === isOld)
      .toReversed()
    const running = named.find(({ machine }) => machine.result === undefined)
    const sandbox = running ?? (includeTerminated ? named[0] : undefined)
    return { sandboxId: sandbox?.id ?? missing(`Sandbox ${sandboxName}`) }
  }

  /** Pages of two, newest first, before the time of the last of the page before. */
  #list(request: { appId: string; beforeTimestamp: number; tags: readonly Tag[] }): { sandboxes: object[] } {
    const { appId, beforeTimestamp, tags } = request
    const before = beforeTimestamp === 0 ? Number.POSITIVE_INFINITY : beforeTimestamp
    const has = (one: ServerSandbox, tag: Tag) =>
      one.tags.some(({ tagName, tagValue }) => tagName === tag.tagName && tagValue === tag.tagValue)
    const matching = this.sandboxes.filter(
      (one) =>
        one.appId === appId &&
        one.machine.result === undefined &&
        one.createdAt < before &&
        tags.every((tag) => has(one, tag)),
    )
    const page = matching.toSorted((a, b) => b.createdAt - a.createdAt).slice(0, 2)
    return { sandboxes: page.map(({ id, createdAt }) => ({ id, createdAt, tags: [] })) }
  }

  async #wait({ sandboxId, timeout }: ById & { timeout: number }): Promise<object> {
    const { machine } = this.#known(sandboxId)
    if (machine.result !== undefined || timeout === 0) return { result: machine.result }
    const late = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => late.resolve(undefined), timeout * 1000)
    const result = await Promise.race([machine.ended, late.promise])
    clearTimeout(timer)
    return { result }
  }

  async #terminate(sandboxId: string): Promise<object> {
    await this.#known(sandboxId).machine.end(resultStatus.terminated)
    return {}
  }

  #known(sandboxId: string): ServerSandbox {
    return this.sandboxes.find(({ id }) => id === sandboxId) ?? missing(`Sandbox ${sandboxId}`)
  }
}

export function missing(what: string): never {
  throw new ServerError(Status.NOT_FOUND, `${what} not found`)
}

function base64(claims: object): string {
  return Buffer.from(JSON.stringify(claims)).toString('base64url')
}
