import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadHarborTask } from './harbor-task.ts'
import { loadTask } from './load-task.ts'
import { describeProblem } from './problems.ts'
import { writeTask } from './task-fixture.ts'
import type { FixtureFile } from './task-fixture.ts'

async function load(toml: string, files: Record<string, FixtureFile> = {}) {
  const loaded = await loadHarborTask(await writeTask({ 'task.toml': toml, ...files }))
  if ('problems' in loaded) throw new Error(loaded.problems.map(describeProblem).join('\n'))
  return loaded.task
}

async function problemsOf(files: Record<string, FixtureFile>, name?: string): Promise<string[]> {
  const loaded = await loadHarborTask(await writeTask(files, name))
  return 'problems' in loaded ? loaded.problems.map(describeProblem) : []
}

const tomlProblems = (toml: string): Promise<string[]> => problemsOf({ 'task.toml': toml })

describe('a task directory in Harbor’s format', () => {
  test('every supported field arrives in the task', async () => {
    const task = await load(
      `
      schema_version = "1.4"
      source = "https://example.com/tasks"
      [task]
      name = "org/name"
      version = "1.0.0"
      description = "About it"
      authors = [{ name = "A", email = "a@example.com" }]
      keywords = ["k"]
      [metadata]
      difficulty = "easy"
      tags = ["a", "b"]
      since = 2026-01-02
      [agent]
      timeout_sec = 90.5
      user = 1000
      [verifier]
      timeout_sec = 30
      user = "tester"
      env = { MODE = "strict" }
      environment_mode = "shared"
      [solution]
      env = { ANSWER = "it's 42" }
      [environment]
      build_timeout_sec = 120
      docker_image = "debian:bookworm-slim"
      os = "linux"
      cpus = 2
      memory_mb = 512
      storage_mb = 1024
      gpus = 1
      gpu_types = ["H100"]
      env = { LANG = "C.UTF-8" }
      workdir = "/srv"
      network_mode = "allowlist"
      allowed_hosts = ["example.com", "*.example.org", "10.0.0.0/8", "::1"]
      `,
      { 'environment/Dockerfile': 'FROM scratch\n', 'solution/solve.sh': '#!/bin/sh\n' },
    )
    expect(task).toMatchObject({
      name: 'a-task',
      instruction: 'Do it.\n',
      runtime: {
        image: { type: 'name', name: 'debian:bookworm-slim' },
        resources: { cpus: 2, memoryMiB: 512, storageMiB: 1024, gpus: { count: 1, types: ['H100'] } },
        limits: { startTimeoutMs: 120_000 },
        network: { mode: 'allowlist', hosts: ['example.com', '*.example.org', '10.0.0.0/8', '::1'] },
        networkAsked: true,
        env: { LANG: 'C.UTF-8' },
        mounts: [],
        workdir: '/srv',
      },
      agent: { timeoutMs: 90_500, user: '1000' },
      verifier: { timeoutMs: 30_000, user: 'tester', env: { MODE: 'strict' } },
      solution: { env: { ANSWER: "it's 42" } },
      metadata: { difficulty: 'easy', tags: ['a', 'b'], since: '2026-01-02' },
      files: ['environment/Dockerfile', 'instruction.md', 'solution/solve.sh', 'task.toml', 'tests/test.sh'],
    })
    expect(task.checksum).toMatch(/^[0-9a-f]{64}$/)
  })

  test('an empty task.toml means: default image, no agent limit, 600 s for the tests, network not asked for', async () => {
    const task = await load('')
    expect(task.runtime).toEqual({
      image: { type: 'default' },
      resources: {},
      limits: {},
      network: { mode: 'public' },
      networkAsked: false,
      env: {},
      mounts: [],
    })
    expect(task.agent).toEqual({})
    expect(task.verifier).toEqual({ timeoutMs: 600_000, env: {}, mode: 'shared', collect: [] })
    expect(task).toMatchObject({ steps: [], artifacts: [], rewardStrategy: 'mean' })
  })

  test('the legacy forms of schema 1.0 mean the same as today’s', async () => {
    const task = await load(`
      version = "1.0"
      [environment]
      memory = "2G"
      storage = "10G"
      allow_internet = false
    `)
    expect(task.runtime).toMatchObject({
      resources: { memoryMiB: 2048, storageMiB: 10_240 },
      network: { mode: 'none' },
      networkAsked: false,
    })
  })

  test.each([
    ['memory = "512M"', 512],
    ['memory = "1.5g"', 1536],
    ['memory = "2048 KB"', 2],
    ['memory = "1TiB"', 1_048_576],
    ['memory = "2G"\nmemory_mb = 2048', 2048],
  ])('%j is %i MiB', async (line, memoryMiB) => {
    expect((await load(`[environment]\n${line}\n`)).runtime.resources).toEqual({ memoryMiB })
  })

  test('the network counts as asked for only where the task states it', async () => {
    const asked = async (line: string) => (await load(`[environment]\n${line}\n`)).runtime
    expect(await asked('')).toMatchObject({ network: { mode: 'public' }, networkAsked: false })
    expect(await asked('network_mode = "public"')).toMatchObject({ network: { mode: 'public' }, networkAsked: true })
    expect(await asked('allow_internet = true')).toMatchObject({ network: { mode: 'public' }, networkAsked: true })
    expect(await asked('network_mode = "no-network"')).toMatchObject({ network: { mode: 'none' }, networkAsked: false })
  })

  test('a Dockerfile is the image; its content hash covers the environment folder and nothing else', async () => {
    const image = async (files: Record<string, FixtureFile>) =>
      (await load('', { 'environment/Dockerfile': 'FROM scratch\n', ...files })).runtime.image
    const plain = await image({})
    expect(plain).toMatchObject({ type: 'dockerfile', directory: expect.stringMatching(/a-task\/environment$/) })
    const hash = (one: Awaited<ReturnType<typeof image>>) => one.type === 'dockerfile' && one.contentHash
    expect(hash(await image({ 'solution/solve.sh': 'x' }))).toBe(hash(plain))
    expect(hash(await image({ 'environment/data.txt': 'x' }))).not.toBe(hash(plain))
  })

  test('unknown, misspelled and misplaced keys are named together with the known ones', async () => {
    const found = await tomlProblems('scheme = 1\n[environment]\nmemory_gb = 2\n[agent]\ntimeout = 5\n')
    expect(found).toEqual([
      'agent.timeout is 5: expected no such key; known here: network_mode, allowed_hosts, timeout_sec, user; correct the spelling or remove it',
      expect.stringMatching(/^environment\.memory_gb is 2: expected no such key; known here: .*memory_mb/),
      expect.stringMatching(/^scheme is 1: expected no such key; known here: schema_version/),
    ])
  })

  test.each([
    ['schema_version = "2.0"', 'schema_version is "2.0": expected one of "1.0", "1.1", "1.2", "1.3", "1.4"'],
    ['schema_version = 1.4', 'schema_version is 1.4: expected one of "1.0", "1.1", "1.2", "1.3", "1.4"'],
    [
      'schema_version = "1.4"\nversion = "1.0"',
      'version is "1.0": expected the same as schema_version, which is "1.4"; remove the deprecated one',
    ],
    ['[agent]\ntimeout_sec = 0', 'agent.timeout_sec is 0: expected a number of seconds above 0'],
    ['[agent]\ntimeout_sec = "9"', 'agent.timeout_sec is "9": expected a number of seconds above 0'],
    ['[agent]\ntimeout_sec = inf', 'agent.timeout_sec is Infinity: expected a number of seconds above 0'],
    ['[agent]\nuser = true', 'agent.user is true: expected a user name or uid'],
    ['[agent]\nuser = -5', 'agent.user is -5: expected a user name or uid'],
    ['[verifier]\nuser = "a b"', 'verifier.user is "a b": expected a user name or uid'],
    ['[environment]\ncpus = -1', 'environment.cpus is -1: expected a number of CPUs above 0'],
    ['[environment]\nmemory_mb = 1.5', 'environment.memory_mb is 1.5: expected a whole number of mebibytes above 0'],
    ['[environment]\nmemory = "much"', 'environment.memory is "much": expected a size such as "2G" or "512M"'],
    [
      '[environment]\nmemory = "2G"\nmemory_mb = 512',
      'environment.memory is "2G": expected the same as memory_mb, which is 512; remove the deprecated one',
    ],
    ['[environment]\nworkdir = "app"', 'environment.workdir is "app": expected an absolute path'],
    [
      '[environment]\ndocker_image = ""',
      'environment.docker_image is "": expected an image name such as "debian:bookworm-slim"',
    ],
    [
      '[environment]\nnetwork_mode = "host"',
      'environment.network_mode is "host": expected one of "public", "no-network", "allowlist"',
    ],
    [
      '[environment]\nnetwork_mode = "allowlist"',
      'environment.allowed_hosts is []: expected at least one host when network_mode is "allowlist"',
    ],
    [
      '[environment]\nnetwork_mode = "public"\nallowed_hosts = ["example.com"]',
      'environment.allowed_hosts is ["example.com"]: expected none unless network_mode is "allowlist"',
    ],
    [
      '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["https://example.com:443"]',
      'environment.allowed_hosts[0] is "https://example.com:443": expected a host name, *.domain, IP address or CIDR, without scheme and port',
    ],
    [
      '[environment]\nnetwork_mode = "public"\nallow_internet = false',
      'environment.allow_internet is false: expected nothing else than network_mode, which is "public"; remove the deprecated one',
    ],
    ['[environment]\ngpu_types = ["T4"]', 'environment.gpu_types is ["T4"]: expected none unless gpus is 1 or more'],
    [
      '[environment.env]\n"A-B" = "x"',
      'environment.env.A-B is "x": expected a variable name of letters, digits and _ as the key',
    ],
    ['[environment.env]\nPORT = 80', 'environment.env.PORT is 80: expected text in quotes'],
    ['[environment.env]\nA = "a\\u0000b"', 'environment.env.A is "a\\u0000b": expected text without a NUL character'],
    ['environment = 3', 'environment is 3: expected a table'],
  ])('%j is a problem', async (toml, problem) => {
    expect(await tomlProblems(toml)).toEqual([problem])
  })

  test.each([
    ['[environment]\nos = "windows"', 'environment.os is "windows": expected "linux"'],
    ['[environment.tpu]\ntype = "v5"', 'environment.tpu is {"type":"v5"}: expected none'],
    ['[[environment.mcp_servers]]\nname = "m"', 'environment.mcp_servers is [{"name":"m"}]: expected none'],
    ['[agent]\nnetwork_mode = "no-network"', 'agent.network_mode is "no-network": expected the same as'],
    ['[verifier]\nallowed_hosts = ["a.b"]', 'verifier.allowed_hosts is ["a.b"]: expected the same as'],
    ['[environment.env]\nKEY = "${HOST_KEY-x}"', 'environment.env.KEY is "${HOST_KEY-x}": expected plain text'],
    ['[verifier.env]\nKEY = "${HOST KEY}"', 'verifier.env.KEY is "${HOST KEY}": expected plain text'],
    ['[solution.env]\nKEY = "a${B:?c}"', 'solution.env.KEY is "a${B:?c}": expected plain text'],
  ])('what cannot be honoured yet is refused by name: %j', async (toml, problem) => {
    const found = await tomlProblems(toml)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(problem)
  })

  test('fields that ask for nothing are not refused', async () => {
    await load(`
      artifacts = []
      steps = []
      multi_step_reward_strategy = "mean"
      [agent]
      network_mode = "no-network"
      [verifier]
      collect = []
      [environment]
      os = "linux"
      gpus = 0
      mcp_servers = []
      network_mode = "no-network"
    `)
  })

  test.each([
    ['a = [1,\nb = 2', 'task.toml:2:1'],
    ['[agent\ntimeout_sec = 1', 'task.toml:1'],
    ['[agent]\ntimeout_sec = ', 'task.toml:2'],
    ['[agent]\n[agent]\n', 'task.toml:2'],
    ['a = 99999999999999999999', 'task.toml:1'],
    ['\u0001', 'task.toml:1'],
    ['= 1', 'task.toml:1'],
    ['a = """', 'task.toml:1'],
  ])('malformed TOML %j names file and line', async (toml, place) => {
    const found = await tomlProblems(toml)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(place)
    expect(found[0]).toMatch(/: expected valid TOML \(.+\)$/)
  })

  test('a valid task.toml cut or spoiled anywhere loads or reports problems, and never throws', async () => {
    const toml = 'schema_version = "1.4"\n[agent]\ntimeout_sec = 9.5\n[environment]\nenv = { A = "b" }\nmemory = "2G"\n'
    const spoiled = Array.from(toml, (_, at) => [
      toml.slice(0, at),
      `${toml.slice(0, at)}\u{1F4A5}"${toml.slice(at + 1)}`,
    ])
    const directory = await writeTask()
    for (const text of spoiled.flat()) {
      await writeFile(join(directory, 'task.toml'), text)
      const loaded = await loadHarborTask(directory)
      if ('problems' in loaded)
        expect(loaded.problems.map(describeProblem).join()).toMatch(/ is (missing|.+): expected ./)
    }
  })

  test('missing files are named', async () => {
    const none = { 'task.toml': undefined, 'instruction.md': undefined, 'tests/test.sh': undefined }
    const found = await problemsOf({ ...none, 'README.md': 'about' })
    expect(found).toEqual([
      'task.toml is missing: expected a file that describes the task',
      'instruction.md is missing: expected a file with what the agent is told',
      'tests/test.sh is missing: expected a script that writes /logs/verifier/reward.txt',
    ])
    expect(await problemsOf({ 'instruction.md': ' \n' })).toEqual([
      'instruction.md is " \\n": expected what the agent is told, as text',
    ])
  })

  test('what is there and no file is not called missing', async () => {
    const directory = await writeTask({ 'task.toml': undefined, 'instruction.md': undefined })
    for (const name of ['task.toml', 'instruction.md']) await mkdir(join(directory, name))
    const loaded = await loadHarborTask(directory)
    expect('problems' in loaded && loaded.problems.map(describeProblem)).toEqual([
      'task.toml is not readable (EISDIR): expected a file that describes the task',
      'instruction.md is not readable (EISDIR): expected a file with what the agent is told',
    ])
  })

  test('files that ask for what is not supported are refused by name', async () => {
    const found = await problemsOf({ 'environment/docker-compose.yaml': 'services: {}', 'trajectory.json': '{}' })
    expect(found).toEqual([
      'environment/docker-compose.yaml is present: expected no compose file: tasks of several services are not supported; build one image with a Dockerfile',
      'trajectory.json is present: expected none: earlier context for the agent is not supported; put it into instruction.md',
    ])
  })

  test('tests that no worker could hold in memory are refused, however many files they are', async () => {
    const directory = await writeTask({ 'tests/one': '', 'tests/more/two': '' })
    for (const path of ['tests/one', 'tests/more/two']) await truncate(join(directory, path), 200 * 1024 ** 2)
    const loaded = await loadHarborTask(directory)
    const problems = 'problems' in loaded ? loaded.problems.map(describeProblem) : []
    expect(problems).toEqual([expect.stringMatching(/^tests is 4194\d+ bytes: expected at most 256 MiB/)])
  })

  test.each(['/etc/passwd', '../../outside', 'sub/link/../../..'])('a link to %s leaves the task', async (link) => {
    const found = await problemsOf({ 'sub/link': { link: '..' }, leak: { link } })
    expect(found).toEqual([
      expect.stringContaining(`leak is a symbolic link to ${JSON.stringify(link)}: expected a link`),
    ])
  })

  test('a link that goes out through another link leaves the task', async () => {
    const found = await problemsOf({ 'deep/er/up': { link: '../..' }, leak: { link: 'deep/er/up/../x' } })
    expect(found).toEqual([expect.stringContaining('leak is a symbolic link to "deep/er/up/../x"')])
  })

  test.each(['instruction.md', 'task.toml', 'rollcall.yaml'])('a device as %s keeps nobody waiting', async (file) => {
    const loaded = await loadTask(await writeTask({ [file]: { link: '/dev/zero' } }))
    const found = 'problems' in loaded ? loaded.problems.map(describeProblem) : []
    expect(found).toContainEqual(expect.stringContaining(`${file} is not readable (it is a special file)`))
  })

  test('links inside the task, broken ones too, are part of it', async () => {
    const task = await load('', {
      'environment/data': 'x',
      'environment/link': { link: 'data' },
      gone: { link: 'no/such' },
    })
    expect(task.files).toContain('environment/link')
    expect(task.files).toContain('gone')
  })

  test.each(['with space', '-dash', 'a'.repeat(81), 'dot.ted'])('a directory called %j is refused', async (name) => {
    expect(await problemsOf({}, name)).toEqual([expect.stringContaining(`directory name is ${JSON.stringify(name)}`)])
  })
})
