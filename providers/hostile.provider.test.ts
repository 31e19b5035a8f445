import { spawnSync } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { createConformanceHarness, type ConformanceHarness } from './conformance/conformance-context.ts'
import type { OpenSandbox } from './conformance/conformance-case.ts'
import { eventually, succeeded, textOf } from './conformance/expectations.ts'
import { openDockerFixture, type DockerFixture } from './docker/testing/docker-fixture.ts'
import { createLocalProvider } from './local/local-provider.ts'

/**
 * Commands that, as root, attack what runs them. Whatever they do, its outcome is true, and nothing runs twice. Not part
 * of the conformance suite: in a sandbox without processes of its own they would hit the host.
 */

const journals = { docker: '/.rollcall/journal', local: '/run/rollcall/journal' }

let docker: DockerFixture
let local: ConformanceHarness

beforeAll(async () => {
  docker = await openDockerFixture()
  local = createConformanceHarness(createLocalProvider({ stateDirectory: await temporaryFolder('hostile') }), {})
})

afterEach(async () => {
  await docker.cleanUp('case')
  await local.cleanUp('case')
})

afterAll(async () => {
  await docker.dispose()
  await local.cleanUp('all')
})

/** A small disk of the test's own: a full one is nobody else's. */
async function smallDisk(): Promise<string> {
  const disk = await temporaryFolder('disk')
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=1777', 'tmpfs', disk]).status).toBe(0)
  onTestFinished(() => void spawnSync('umount', ['-l', disk]))
  return disk
}

/** Begins a command, and tells which it was; nobody waits for its answer. */
function begin({ runner, nextId }: OpenSandbox, script: string) {
  const request = { id: nextId(), script, timeoutMs: 60_000 }
  runner.exec(request).catch(() => {})
  return request
}

describe.each(['docker', 'local'] as const)('%s', (name) => {
  const harness = (): ConformanceHarness => (name === 'docker' ? docker : local)

  test('a command that kills its parent is lost, has run once, and the next one runs', async () => {
    const box = await harness().open()
    const request = begin(box, 'echo x >>/tmp/ran; kill -9 $PPID; echo killed >>/tmp/ran; sleep 60')
    await eventually('it has killed', async () => textOf((await box.run('cat /tmp/ran')).stdout) === 'x\nkilled\n')
    const { outcome } = await box.attach().exec(request)
    expect(outcome).toEqual({ type: 'lost', reason: 'supervisor-gone' })
    expect(succeeded(await box.run('cat /tmp/ran'))).toBe('x\nkilled\n')
  })

  test('a command that kills everything it sees loses its sandbox', async () => {
    const box = await harness().open()
    await expect(box.run('kill -9 -1; sleep 60')).rejects.toMatchObject({ code: 'sandbox-lost' })
    await expect(box.run('echo next')).rejects.toMatchObject({ code: 'sandbox-lost' })
  })

  test('a command that writes to every descriptor of every process stops no other, nor makes it run twice', async () => {
    const box = await harness().open()
    const others = '[ $p = /proc/self ] || [ $p = /proc/$$ ] || [ $p = /proc/$PPID ]'
    const write = 'for f in $p/fd/*; do (echo JUNK >>$f) 2>/dev/null & done'
    const script = `for i in 1 2 3; do for p in /proc/[0-9]*; do ${others} || { ${write}; }; done; sleep 0.2; done; kill $(jobs -p)`
    const hostile = box.run(script, { timeoutMs: 3_000 })
    const asked = Array.from({ length: 30 }, async (_, number) => {
      const answer = succeeded(await box.run(`echo ${number} >>/tmp/ran; sleep 0.${number}; echo answer ${number}`))
      // Junk may have come before it on the attachment, or after it in its file.
      return answer.split('\n').includes(`answer ${number}`)
    })
    expect(await Promise.all(asked)).toEqual(asked.map(() => true))
    expect(succeeded(await box.run('sort -n /tmp/ran | uniq | wc -l; wc -l </tmp/ran'))).toBe('30\n30\n')
    await hostile
  })

  test('a command that fills its disk fails, and others go on', async () => {
    const source = await smallDisk()
    const box = await harness().open({ mounts: [{ source, target: '/tmp', readOnly: false }] })
    const filled = await box.run('cat /dev/zero >/tmp/filler; echo $?; exit 3')
    expect([filled.outcome, textOf(filled.stdout)]).toEqual([{ type: 'exited', code: 3 }, '1\n'])
    expect(succeeded(await box.run('echo x >>/tmp/more || rm /tmp/filler; echo next'))).toBe('next\n')
  })

  test('a command that fills the journal keeps its outcome; what cannot be claimed does not run', async () => {
    const box = await harness().open()
    const fill = { id: box.nextId(), script: `cat /dev/zero >${journals[name]}/filler; exit 3`, timeoutMs: 60_000 }
    expect((await box.runner.exec(fill)).outcome).toEqual({ type: 'exited', code: 3 })
    expect((await box.run('touch /tmp/ran')).outcome).toEqual({ type: 'lost', reason: 'journal-full' })
    expect((await box.attach().exec(fill)).outcome).toEqual({ type: 'exited', code: 3 })
  })

  test('a command that removes the journal loses its sandbox, and does not run again', async () => {
    const box = await harness().open()
    const request = begin(box, `echo x >>/tmp/ran; rm -rf ${journals[name]}/conformance; echo removed >>/tmp/ran`)
    const scope = { scope: 'look', phase: 0, batch: 0, part: 0 }
    let call = 0
    const look = async () =>
      succeeded(
        await box.runner.exec({
          id: { ...scope, call: (call += 1) },
          script: 'cat /tmp/ran 2>/dev/null || :',
          timeoutMs: 10_000,
        }),
      )
    await eventually('it has removed it', async () => (await look()) === 'x\nremoved\n')
    await expect(box.attach().exec(request)).rejects.toMatchObject({ code: 'sandbox-lost' })
    expect(await look()).toBe('x\nremoved\n')
  })
})

test('where no more processes may be, deadlines are kept, and what was asked meanwhile runs once', async () => {
  const box = await docker.open({ resources: { pids: 40 } })
  const first = box.run('sleep 300', { timeoutMs: 1_000 })
  const bomb = box.run('sleep 300 & (while :; do sleep 300 & done); wait', { timeoutMs: 2_500 })
  expect((await first).outcome).toEqual({ type: 'timed-out' })
  const meanwhile = box.run('echo x >>/tmp/ran')
  expect((await bomb).outcome).toEqual({ type: 'timed-out' })
  succeeded(await meanwhile)
  expect(succeeded(await box.run('cat /tmp/ran'))).toBe('x\n')
})
