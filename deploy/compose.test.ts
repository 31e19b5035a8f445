import { readFile } from 'node:fs/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { searchAttributeTypes } from '../client/search-attributes.ts'
import { dynamicConfig } from '../client/server/settings.ts'

const read = (path: string) => readFile(new URL(path, import.meta.url), 'utf8')

const volumeSchema = z.union([z.string(), z.looseObject({ source: z.string(), target: z.string() })])
const serviceSchema = z.looseObject({
  image: z.string().optional(),
  ports: z.array(z.string()).default([]),
  profiles: z.array(z.string()).default([]),
  volumes: z.array(volumeSchema).default([]),
  environment: z.record(z.string(), z.string()).default({}),
})
const composeSchema = z.looseObject({
  services: z.record(z.string(), serviceSchema),
  volumes: z.record(z.string(), z.unknown()),
})

const text = await read('../docker-compose.temporal.yml')
const document: unknown = parse(text, { merge: true })
const { services, volumes } = composeSchema.parse(document)
const serviceEntries = Object.entries(services)

test('the compose file follows the Compose Specification', async () => {
  const schema = z.record(z.string(), z.unknown()).parse(JSON.parse(await read('compose-spec/compose-spec.json')))
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(schema)
  validate(document)
  expect(validate.errors).toBeNull()
  validate({ ...z.looseObject({}).parse(document), services: { ui: { imagee: 'temporalio/ui' } } })
  expect(validate.errors).not.toBeNull()
})

test('every published port is on loopback', () => {
  const ports = serviceEntries.flatMap(([, service]) => service.ports)
  expect(ports.length).toBeGreaterThan(0)
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/)
})

test('the Docker socket is only in a worker that a profile asks for', () => {
  const withSocket = serviceEntries.filter(([, service]) => JSON.stringify(service).includes('docker.sock'))
  expect(withSocket.map(([name]) => name)).toEqual(['worker-docker'])
  expect(services['worker-docker']?.profiles).toEqual(['docker-socket'])
  expect(serviceEntries.filter(([, service]) => service.profiles.length > 0)).toHaveLength(1)
})

test('the database is in a named volume', () => {
  expect(services['postgres']?.volumes).toEqual(['postgres-data:/var/lib/postgresql/data'])
  expect(volumes).toHaveProperty('postgres-data.name')
})

test('workers have the store at the path at which the host has it, since jobs carry its URL', () => {
  for (const name of ['worker', 'worker-docker']) {
    const store = services[name]?.volumes.find((volume) => JSON.stringify(volume).includes('/store'))
    const { source, target } = z.object({ source: z.string(), target: z.string() }).parse(store)
    expect(target).toBe(source)
    expect(target).toBe('${ROLLCALL_STATE_DIR:-${HOME}/.local/state/rollcall}/store')
  }
})

test('every image is pinned, and server and tools have one version', () => {
  const images = serviceEntries.flatMap(([, service]) => service.image ?? [])
  const foreign = images.filter((image) => image !== 'rollcall-worker')
  for (const image of foreign) expect(image).toMatch(/:\d+(\.\d+)*$/)
  const temporal = images.filter((image) => /temporalio\/(server|admin-tools)/.test(image))
  expect(new Set(temporal.map((image) => image.split(':')[1])).size).toBe(1)
  expect(temporal[0]).toMatch(/:1\.31\./)
})

test('the database admits as many connections as the server’s four services may open', () => {
  const environment = services['temporal']?.environment ?? {}
  const perService = Number(environment['SQL_MAX_CONNS']) + Number(environment['SQL_VIS_MAX_CONNS'])
  const limit = Number(/max_connections=(\d+)/.exec(text)?.[1])
  expect(perService * 4).toBeLessThan(limit)
})

test('server and embedded server have the same dynamic configuration keys', async () => {
  const configured = z
    .record(z.string(), z.array(z.object({ value: z.union([z.number(), z.boolean()]) })).length(1))
    .parse(parse(await read('dynamic-config.yaml')))
  expect(Object.keys(configured).toSorted()).toEqual(Object.keys(dynamicConfig).toSorted())
  for (const [key, value] of Object.entries(dynamicConfig)) {
    expect(typeof configured[key]?.[0]?.value).toBe(typeof value)
  }
})

test('the namespace job registers exactly the search attributes that the client uses', async () => {
  const registered = [...(await read('namespace.sh')).matchAll(/^register (\w+) (\w+)$/gm)]
  expect(Object.fromEntries(registered.map(([, name, type]) => [name, type]))).toEqual(searchAttributeTypes)
})

test('the scripts that compose mounts are there', async () => {
  const mounted = serviceEntries.flatMap(([, service]) =>
    service.volumes.flatMap((volume) =>
      typeof volume === 'string' ? (/^\.\/(deploy\/[^:]+):/.exec(volume)?.[1] ?? []) : [],
    ),
  )
  expect(mounted.toSorted()).toEqual(['deploy/dynamic-config.yaml', 'deploy/namespace.sh', 'deploy/schema.sh'])
  for (const path of mounted) expect(await read(`../${path}`)).not.toBe('')
})
