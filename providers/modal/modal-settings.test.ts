import { expect, test } from 'vitest'
import { modalSettings } from './modal-settings.ts'

const env = { MODAL_TOKEN_ID: 'ak-1', MODAL_TOKEN_SECRET: 'as-1' }

test('credentials and nothing else are enough', () => {
  const settings = { tokenId: 'ak-1', tokenSecret: 'as-1', app: 'rollcall', secrets: [], ignoreLimits: false }
  expect(modalSettings({}, env)).toEqual(settings)
})

test('every setting is read', () => {
  const options = {
    app: 'evals',
    environment: 'dev',
    gpu: 'A100',
    region: 'us-east,eu-west',
    cloud: 'aws',
    secrets: 'hf,wandb',
    'registry-secret': 'ghcr',
    limits: 'ignore',
  }
  expect(modalSettings(options, env)).toMatchObject({
    app: 'evals',
    environment: 'dev',
    gpu: 'A100',
    regions: ['us-east', 'eu-west'],
    cloud: 'aws',
    secrets: ['hf', 'wandb'],
    registrySecret: 'ghcr',
    ignoreLimits: true,
  })
})

test('missing credentials are named, and so is what to do', () => {
  for (const [name, partly] of [
    ['MODAL_TOKEN_ID', { MODAL_TOKEN_SECRET: 'as-1' }],
    ['MODAL_TOKEN_SECRET', { MODAL_TOKEN_ID: 'ak-1', MODAL_TOKEN_SECRET: '' }],
  ] as const) {
    expect(() => modalSettings({}, partly)).toThrow(expect.objectContaining({ code: 'provider-auth' }))
    expect(() => modalSettings({}, partly)).toThrow(`expected ${name}`)
  }
})

test.each([
  ['app', 'with space'],
  ['region', 'us east'],
  ['limits', 'maybe'],
  ['secrets', 'a b'],
])('a setting %s of %j is refused by name', (name, value) => {
  expect(() => modalSettings({ [name]: value }, env)).toThrow(`Provider setting ${name} is`)
})
