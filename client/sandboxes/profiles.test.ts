import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { loadProfiles } from './profiles.ts'
import type { ProfileSources } from './profiles.ts'

async function fromFile(text: string, more: Partial<ProfileSources> = {}) {
  const directory = await temporaryFolder('profiles')
  await writeFile(join(directory, 'profiles.yaml'), text)
  return await loadProfiles({ profiles: 'profiles.yaml', env: {}, directory, ...more })
}

const fromEnv = (env: Record<string, string>) => loadProfiles({ env, directory: '/' })

test('a profile in code says only what is special about it', async () => {
  const profiles = { small: { runtime: { image: 'debian:12' } } }
  expect(await loadProfiles({ profiles, env: {}, directory: '/' })).toMatchObject({
    small: { name: 'small', provider: { name: 'docker' }, slotsPerSandbox: 1, slotUser: 'sandbox', maxSandboxes: 5 },
  })
})

test('several slots in a sandbox have users of their own', async () => {
  const { small } = await loadProfiles({ profiles: { small: { slotsPerSandbox: 4 } }, env: {}, directory: '/' })
  expect(small?.slotUser).toBe('own')
})

test('a file has profiles with different providers', async () => {
  const { cpu, here } = await fromFile(`
profiles:
  cpu: { provider: docker, runtime: { image: "python:3.12", resources: { cpus: 2 } }, slotsPerSandbox: 8 }
  here: { provider: { name: local, options: { network: "true" } } }
`)
  expect(cpu).toMatchObject({ runtime: { image: 'python:3.12', resources: { cpus: 2 } }, slotsPerSandbox: 8 })
  expect(here?.provider).toEqual({ name: 'local', options: { network: 'true' } })
})

test('Atropos’ own file loads: names mapped, seconds become milliseconds, its defaults stay', async () => {
  const { gpu, plain } = await fromFile(`
profiles:
  plain: { image: "python:3.11", cpu: 0.5 }
  gpu: { image: "pytorch:2", gpu: "A100:2", memory: 16384, min_pool: 0, max_pool: 1, idle_timeout: 90.5, secrets: [HF_TOKEN], env_vars: { A: 1 } }
`)
  expect(gpu).toMatchObject({
    runtime: {
      image: 'pytorch:2',
      resources: { cpus: 1, memoryMiB: 16384, gpus: { count: 2, types: ['A100'] } },
      env: { A: '1' },
      secrets: ['HF_TOKEN'],
    },
    minSandboxes: 0,
    maxSandboxes: 1,
    idleTimeoutMs: 90_500,
    slotsPerSandbox: 10,
    workspaceBase: '/data',
  })
  expect(plain).toMatchObject({ minSandboxes: 1, maxSandboxes: 5, maxLifetimeMs: 3_600_000, execTimeoutMs: 30_000 })
})

test('Atropos’ variables load: a profile’s own before those of all', async () => {
  const profiles = await fromEnv({
    ATROPOS_MODAL_PROFILES: 'default,pytorch-gpu',
    ATROPOS_MODAL_MEMORY: '4096',
    ATROPOS_MODAL_PROFILE_PYTORCH_GPU_MEMORY: '8192',
    ATROPOS_MODAL_PROFILE_PYTORCH_GPU_GPU: 'T4',
    ATROPOS_MODAL_SECRETS: 'HF_TOKEN, WANDB',
    ATROPOS_MODAL_ENV_VARS: 'A=1;B=x=y',
    ATROPOS_MODAL_ACQUIRE_TIMEOUT: '7.5',
  })
  expect(profiles['default']?.runtime).toMatchObject({ resources: { memoryMiB: 4096 }, secrets: ['HF_TOKEN', 'WANDB'] })
  expect(profiles['pytorch-gpu']).toMatchObject({
    runtime: { resources: { memoryMiB: 8192, gpus: { count: 1, types: ['T4'] } }, env: { A: '1', B: 'x=y' } },
    acquireTimeoutMs: 7_500,
  })
})

test('ATROPOS_MODAL_PROFILES_FILE names a file, and one that is missing is an error', async () => {
  const env = { ATROPOS_MODAL_PROFILES_FILE: '/nowhere/profiles.yaml', ATROPOS_MODAL_CPU: '1' }
  await expect(fromEnv(env)).rejects.toThrow('/nowhere/profiles.yaml: cannot be read (ENOENT)')
})

test.each<[string, string, string]>([
  [
    'an unknown key',
    'profiles: { a: { memoryy: 5, image: x } }',
    'profile a: memoryy is 5: expected no such key; known here: app_name',
  ],
  [
    'an unknown key of ours',
    'profiles: { a: { slotsPerSandboxes: 5 } }',
    'profile a: slotsPerSandboxes is 5: expected no such key',
  ],
  ['an empty profile', 'profiles: { a: {}, b: }', 'profiles.yaml: profile b: expected a table of settings'],
  [
    'a list that is a text',
    'profiles: { a: { image: x, secrets: hf-token } }',
    'profile a: secrets is "hf-token": expected a list of names',
  ],
  [
    'more at least than at most',
    'profiles: { a: { minSandboxes: 6 } }',
    'profile a: minSandboxes is 6: expected at most maxSandboxes, which is 5',
  ],
  [
    'no time at all',
    'profiles: { a: { image: x, idle_timeout: 0 } }',
    'profile a: idle_timeout is 0: expected a number of seconds above 0',
  ],
  ['YAML that is none', 'profiles: {', 'profiles.yaml: not valid YAML'],
  ['no profiles', 'profils: {}', 'expected a table "profiles"'],
  [
    'a user beside users of slots',
    'profiles: { a: { slotsPerSandbox: 2, runtime: { user: root } } }',
    'profile a: runtime.user is "root"',
  ],
  [
    'a limit under another name',
    'profiles: { a: { runtime: { limits: { lifetimeMs: 5 } } } }',
    'expected nothing here: a profile says maxLifetimeMs itself',
  ],
  [
    'a workspace that is elsewhere',
    'profiles: { a: { workspaceBase: /work/../etc } }',
    'profile a: workspaceBase is "/work/../etc": expected an absolute path without . and ..',
  ],
  [
    'workspaces among what all users share',
    'profiles: { a: { slotsPerSandbox: 2, workspaceBase: /tmp/work } }',
    'profile a: workspaceBase is "/tmp/work": expected no folder that all users share',
  ],
  [
    'an app name',
    'profiles: { a: { app_name: mine } }',
    'profile a: app_name is "mine": expected nothing: pools are told apart',
  ],
])('%s is an error that names file, profile and field', async (_what, text, message) => {
  await expect(fromFile(text)).rejects.toThrow(message)
})

test('every problem of every profile is told at once', async () => {
  const text = 'profiles: { a: { minSandboxes: -1, maxSandboxes: x }, b: { provider: 5 } }'
  await expect(fromFile(text)).rejects.toThrow(/3 problems with profiles:\n.*profile a.*\n.*profile a.*\n.*profile b/)
})

test('a variable that is not a number is named', async () => {
  const told = 'environment: profile default: ATROPOS_MODAL_CPU is "many": expected a number of CPUs'
  await expect(fromEnv({ ATROPOS_MODAL_CPU: 'many' })).rejects.toThrow(told)
})

test('profiles whose variables would be the same cannot be told apart', async () => {
  const told = 'ATROPOS_MODAL_PROFILES: a_b has the same variables'
  await expect(fromEnv({ ATROPOS_MODAL_PROFILES: 'a-b,a_b' })).rejects.toThrow(told)
})

test('a variable that says nothing to any profile is named', async () => {
  const env = { ATROPOS_MODAL_MAX_SANDBOX: '1', ATROPOS_MODAL_PROFILE_GPU_IMAGE: 'x' }
  await expect(fromEnv(env)).rejects.toThrow(
    /environment: ATROPOS_MODAL_MAX_SANDBOX: .*\n.*environment: ATROPOS_MODAL_PROFILE_GPU_IMAGE: /,
  )
})

test('an empty variable is as good as none', async () => {
  const { default: found } = await fromEnv({ ATROPOS_MODAL_CPU: '2', ATROPOS_MODAL_PROFILE_DEFAULT_CPU: '' })
  expect(found?.runtime.resources?.cpus).toBe(2)
})

test('a profile that says nothing has the defaults of those beside it', async () => {
  const theirs = await fromFile('profiles: { default: {}, gpu: { gpu: A100 }, ours: { provider: local } }')
  expect(theirs['default']).toMatchObject({ slotsPerSandbox: 10, workspaceBase: '/data' })
  expect(theirs['ours']).toMatchObject({ slotsPerSandbox: 1, workspaceBase: '/workspace' })
  expect((await fromFile('profiles: { default: {} }'))['default']).toMatchObject({ slotsPerSandbox: 1 })
})
