import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CallResult, JsonValue } from '../../agents/agent.ts'
import { openDockerFixture, type DockerFixture } from '../../providers/docker/testing/docker-fixture.ts'
import type { Provider } from '../../providers/contract/provider.ts'
import { makeRequest, runnerOf } from '../../providers/host-sandbox/sandbox-fixture.ts'
import { createLocalProvider } from '../../providers/local/local-provider.ts'
import type { Runner } from '../../runner/runner.ts'
import { uniqueScope } from '../../runner/test-sandbox.ts'
import { executeBatch } from '../execute-batch.ts'

/** Sessions in real sandboxes, as root and as another user, each call by another worker. */

let docker: DockerFixture
let folder = ''
const places: Record<string, { provider: Provider; name: string }> = {}
const runners: Runner[] = []

beforeAll(async () => {
  docker = await openDockerFixture()
  folder = await mkdtemp(join(tmpdir(), 'rollcall-sessions-'))
  const local = createLocalProvider({ stateDirectory: folder })
  const requests = { docker: docker.makeRequest({ workdir: '/srv' }), local: makeRequest({ workdir: '/srv' }) }
  await Promise.all([docker.provider.createOrAdopt(requests.docker), local.createOrAdopt(requests.local)])
  places['docker'] = { provider: docker.provider, name: requests.docker.name }
  places['local'] = { provider: local, name: requests.local.name }
})

afterAll(async () => {
  for (const runner of runners) runner.close()
  await places['local']?.provider.destroy(places['local'].name)
  await docker.dispose()
  await rm(folder, { recursive: true, force: true })
})

describe.each(['docker', 'local'])('%s', (kind) => {
  test.each([undefined, 'nobody'])('a session of user %s', async (user) => {
    const scope = uniqueScope()
    let batch = 0
    const call = async (args: Record<string, JsonValue>): Promise<CallResult> => {
      const { provider, name } = places[kind] ?? {}
      if (provider === undefined || name === undefined) throw new Error('no sandbox')
      if (user !== undefined && !provider.capabilities.users)
        return { tool: 'bash', ok: true, outcome: 'skipped', output: '' }
      const runner = runnerOf(provider, name)
      runners.push(runner)
      const context = {
        runner,
        scope,
        phase: 1,
        batch: batch++,
        defaultTimeoutMs: 20_000,
        signal: new AbortController().signal,
      }
      const calls = [{ tool: 'bash', args: { session: true, ...args } }]
      const [result] = await executeBatch(
        { calls, mode: 'sequence', stopOnError: false },
        { ...context, ...(user && { user }) },
      )
      if (result === undefined) throw new Error('no result')
      return result
    }
    const begun = await call({ command: 'X=1; cd /; id -un' })
    if (begun.outcome === 'skipped') return
    expect(begun).toMatchObject({ ok: true, output: `${user ?? 'root'}\n` })
    expect((await call({ command: 'echo "$X $PWD"; sleep 60', timeout_ms: 500 })).output).toMatch(
      /^1 \/\n\[still running/,
    )
    expect(await call({ keys: ['C-c'], timeout_ms: 10_000 })).toMatchObject({ exitCode: 130 })
    expect((await call({ command: 'test -t 0 && echo "terminal $X"', tty: true })).output).toMatch(
      /terminal 1|cannot make a terminal/,
    )
    await call({ command: '(sleep 300 >/dev/null 2>&1 & echo $! >/tmp/daemon)' })
    expect((await call({ restart: true })).ok).toBe(true)
    expect(
      (await call({ command: 'kill -0 $(cat /tmp/daemon) && echo daemon; kill $(cat /tmp/daemon); rm /tmp/daemon' }))
        .output,
    ).toContain('daemon\n')
    await call({ restart: true })
  })
})
