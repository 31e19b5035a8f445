import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, type Duplex } from 'node:stream'
import type { ApiKeyList, CreateSandbox, StorageAccessDto } from '@daytona/api-client'
import type { ExecuteRequest } from '@daytona/toolbox-api-client'
import { connectToDocker, type DockerConnection } from '../../docker/docker-connection.ts'
import type { DaytonaAccess } from '../daytona-settings.ts'
import { Faults, type Fault } from './faults.ts'
import { LoopbackImages } from './loopback-images.ts'
import { LoopbackSandboxes, type LoopbackSandbox } from './loopback-sandboxes.ts'
import { LoopbackTerminals } from './loopback-terminals.ts'
import { ObjectStorage } from './object-storage.ts'
import { Refusal } from './refusal.ts'

export interface LoopbackOptions {
  readonly connection: DockerConnection
  readonly snapshots?: Readonly<Record<string, string>>
  /** How long the list knows nothing of a change. Default 200 ms. */
  readonly listLagMs?: number
  readonly totalCpu?: number
}

const organization = '0b7c1d2e-0000-4000-8000-00000000d001'
const bucket = 'daytona-volume-builds'

/**
 * Daytona's API and its daemon on 127.0.0.1, for the calls that the provider's SDK makes: typed by the SDK's own client,
 * with real containers as machines. What it does not know it answers with 501, so that no test passes by mistake.
 */
export class LoopbackDaytona {
  readonly apiKey = 'dtn_loopback_0123456789abcdef'
  readonly sandboxes: LoopbackSandboxes
  readonly images: LoopbackImages
  readonly faults = new Faults()
  /** `METHOD path`, in the order in which they came. */
  readonly requests: string[] = []
  /** Bodies of creations, as they came. */
  readonly creations: CreateSandbox[] = []
  readonly #server: Server
  readonly #terminals: LoopbackTerminals
  readonly #storage = new ObjectStorage()

  private constructor(server: Server, options: LoopbackOptions) {
    const docker = connectToDocker(options.connection).streams
    this.#server = server
    this.images = new LoopbackImages(docker, this.#storage, organization)
    this.sandboxes = new LoopbackSandboxes({
      docker,
      images: this.images,
      organization,
      toolboxUrl: () => `${this.#origin()}/toolbox`,
      snapshots: options.snapshots ?? {},
      listLagMs: options.listLagMs ?? 200,
      totalCpu: options.totalCpu ?? 1_000,
    })
    this.#terminals = new LoopbackTerminals()
    server.on('request', (request, response) => void this.#serve(request, response))
    server.on('upgrade', (request, socket, head) => void this.#upgrade(request, socket, head))
  }

  static async start(options: LoopbackOptions): Promise<LoopbackDaytona> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new LoopbackDaytona(server, options)
  }

  get access(): DaytonaAccess {
    return { apiKey: this.apiKey, apiUrl: `${this.#origin()}/api`, target: 'eu' }
  }

  fail(fault: Fault): void {
    this.faults.add(fault)
  }

  /** Cuts every connection of a terminal, as a failing network does. */
  cutTerminals(): void {
    this.#terminals.cut()
  }

  async close(): Promise<void> {
    this.#terminals.cut()
    await this.sandboxes.dispose()
    await this.images.dispose()
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #origin(): string {
    const { port } = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${port}`
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request
    this.requests.push(`${method} ${url}`)
    const fault = this.faults.next(method, url)
    try {
      await fault?.onStrike?.()
      if (fault?.lose === 'request') return void request.socket.destroy()
      if (fault?.answer) throw new Refusal(fault.answer.status, fault.answer.message, fault.answer.headers)
      const answer = await this.#route(request, method, new URL(url, this.#origin()))
      if (fault?.lose === 'answer') return void request.socket.destroy()
      response.writeHead(answer.status ?? 200, { 'content-type': answer.type ?? 'application/json' })
      response.end(answer.body)
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(500, String(error))
      response.writeHead(refusal.status, { 'content-type': 'application/json', ...refusal.headers })
      response.end(refusal.body(url))
    }
  }

  async #route(request: IncomingMessage, method: string, url: URL): Promise<Answer> {
    const [, area, ...rest] = url.pathname.split('/').map(decodeURIComponent)
    if (area === 's3') {
      const { xml } = await this.#storage.handle(request, rest.slice(1).join('/'), url.searchParams)
      return { body: xml, type: 'application/xml' }
    }
    this.#authenticate(request)
    if (area === 'api') return await this.#api(request, `${method} /${rest.join('/')}`, url)
    if (area === 'toolbox') return await this.#toolbox(request, `${method} /${rest.slice(1).join('/')}`, rest[0] ?? '')
    throw new Refusal(404, `Cannot ${method} ${url.pathname}`)
  }

  #authenticate({ headers }: IncomingMessage): void {
    if (headers.authorization !== `Bearer ${this.apiKey}`) throw new Refusal(401, 'Invalid credentials')
  }

  async #api(request: IncomingMessage, call: string, url: URL): Promise<Answer> {
    const [, name = '', action] = /^\w+ \/sandbox\/([^/]+)(?:\/(.*))?$/.exec(call) ?? []
    if (name !== '') return await this.#sandboxCall(request, `${request.method} ${action ?? ''}`.trim(), name)
    switch (call) {
      case 'POST /sandbox': {
        const order: CreateSandbox = await readJson(request)
        this.creations.push(order)
        return json(this.sandboxes.create(order).dto)
      }
      case 'GET /sandbox':
        return json(this.sandboxes.list(url.searchParams))
      case 'GET /api-keys/current':
        return json(currentKey())
      case 'GET /object-storage/push-access':
        return json(this.#storageAccess())
    }
    throw new Refusal(501, `The test server does not know ${call}`)
  }

  async #sandboxCall(request: IncomingMessage, call: string, name: string): Promise<Answer> {
    const sandbox = this.sandboxes.get(name)
    switch (call) {
      case 'GET':
        return json(sandbox.dto)
      case 'DELETE':
        this.sandboxes.destroy(sandbox)
        return json(sandbox.dto)
      case 'POST stop':
        await this.sandboxes.stop(sandbox)
        return json(sandbox.dto)
      case 'PUT labels': {
        const { labels }: { labels: Record<string, string> } = await readJson(request)
        sandbox.dto.labels = labels
        return json({ labels })
      }
    }
    throw new Refusal(501, `The test server does not know ${call} of a sandbox`)
  }

  async #toolbox(request: IncomingMessage, call: string, id: string): Promise<Answer> {
    const sandbox = this.sandboxes.get(id)
    const machine = sandbox.running()
    if (call === 'POST /process/execute') {
      const order: ExecuteRequest = await readJson(request)
      return json(await machine.execute(order))
    }
    if (call === 'POST /files/bulk-upload') {
      await machine.upload(await readUploads(request))
      return json({})
    }
    if (call.startsWith('DELETE /process/pty/')) {
      await this.#terminals.kill(sandbox, call.slice('DELETE /process/pty/'.length))
      return json({ message: 'PTY session deleted' })
    }
    throw new Refusal(501, `The test server does not know ${call} in a sandbox`)
  }

  #storageAccess(): StorageAccessDto {
    return {
      accessKey: 'loopback',
      secret: 'loopback-secret',
      sessionToken: 'loopback-token',
      storageUrl: `${this.#origin()}/s3`,
      organizationId: organization,
      bucket,
      region: 'us-east-1',
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { url = '/' } = request
    this.requests.push(`WS ${url}`)
    try {
      const fault = this.faults.next('WS', url)
      await fault?.onStrike?.()
      if (fault?.lose !== undefined) return void socket.destroy()
      if (fault?.answer) throw new Refusal(fault.answer.status, fault.answer.message)
      this.#authenticate(request)
      const { pathname, searchParams } = new URL(url, this.#origin())
      const [, id = '', call] = /^\/toolbox\/([^/]+)(\/.*)$/.exec(pathname) ?? []
      if (call !== '/process/pty/create-connect') throw new Refusal(501, `The test server does not know ${call}`)
      const sandbox: LoopbackSandbox = this.sandboxes.get(id)
      await this.#terminals.open({ request, socket, head, sandbox, query: searchParams })
    } catch (error) {
      const status = error instanceof Refusal ? error.status : 500
      socket.end(`HTTP/1.1 ${status} Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    }
  }
}

interface Answer {
  readonly status?: number
  readonly type?: string
  readonly body: string
}

function json(value: unknown): Answer {
  return { body: JSON.stringify(value) }
}

async function readJson<T>(request: IncomingMessage): Promise<T> {
  const value: T = JSON.parse(Buffer.concat(await Readable.from(request).toArray()).toString())
  return value
}

async function readUploads(request: IncomingMessage): Promise<{ path: string; content: Buffer }[]> {
  const body = Buffer.concat(await Readable.from(request).toArray())
  const form = await new Response(body, {
    headers: { 'content-type': request.headers['content-type'] ?? '' },
  }).formData()
  const files = []
  for (let index = 0; form.has(`files[${index}].path`); index += 1) {
    const file = form.get(`files[${index}].file`)
    const path = form.get(`files[${index}].path`)
    if (!(file instanceof Blob) || typeof path !== 'string') throw new Refusal(400, `files[${index}] is no file`)
    files.push({ path, content: Buffer.from(await file.arrayBuffer()) })
  }
  return files
}

function currentKey(): ApiKeyList {
  const now = new Date()
  return {
    name: 'loopback',
    value: 'dtn_********',
    createdAt: now,
    permissions: ['write:sandboxes', 'delete:sandboxes'],
    lastUsedAt: now,
    expiresAt: null,
    userId: 'loopback|user',
    organizationId: organization,
  }
}
