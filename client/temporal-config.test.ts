import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { configuredTemporal } from './temporal-config.ts'

let home: string

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-config-'))
})

afterEach(async () => {
  await rm(home, { recursive: true, force: true })
})

const configured = (env: Record<string, string>) => configuredTemporal({ HOME: home, ...env })

test('without any setting no server is configured', () => {
  expect(configured({})).toBeUndefined()
  expect(configured({ TEMPORAL_NAMESPACE: 'default', TEMPORAL_ADDRESS: '' })).toBeUndefined()
})

test('address, namespace, key and UI come from the environment; a key turns TLS on', () => {
  const env = {
    TEMPORAL_ADDRESS: 'eval.example.com:7233',
    TEMPORAL_NAMESPACE: 'evals',
    TEMPORAL_API_KEY: 'key',
    ROLLCALL_TEMPORAL_UI: 'https://ui.example.com',
  }
  expect(configured(env)).toMatchObject({
    address: 'eval.example.com:7233',
    namespace: 'evals',
    apiKey: 'key',
    tls: true,
    uiUrl: 'https://ui.example.com',
    embedded: false,
  })
})

test('a profile of Temporal’s configuration file is used, and the environment beats it', async () => {
  const file = join(home, 'temporal.toml')
  await writeFile(file, '[profile.lab]\naddress = "lab:7233"\nnamespace = "lab"\n[profile.lab.grpc_meta]\nteam = "a"\n')
  const env = { TEMPORAL_CONFIG_FILE: file, TEMPORAL_PROFILE: 'lab' }
  expect(configured(env)).toMatchObject({ address: 'lab:7233', namespace: 'lab', metadata: { team: 'a' } })
  expect(configured({ ...env, TEMPORAL_NAMESPACE: 'mine' })).toMatchObject({ address: 'lab:7233', namespace: 'mine' })
})

test.each([
  [{ TEMPORAL_ADDRESS: 'http://127.0.0.1:7233' }, /TEMPORAL_ADDRESS is "http:.*host:port without a scheme/],
  [{ TEMPORAL_ADDRESS: '127.0.0.1:70000' }, /TEMPORAL_ADDRESS is "127\.0\.0\.1:70000"/],
  [{ TEMPORAL_NAMESPACE: 'evals' }, /configured with the namespace evals but without an address: set TEMPORAL_ADDRESS/],
  [{ TEMPORAL_API_KEY: 'key' }, /configured with an API key but without an address/],
  [{ TEMPORAL_PROFILE: 'nobody' }, /cannot be read \(Profile 'nobody' not found/],
])('contradictory settings %j are one clear error', (env, message) => {
  expect(() => configured(env)).toThrow(message)
  expect(() => configured(env)).toThrow(expect.objectContaining({ code: 'configuration-invalid' }) as Error)
})
