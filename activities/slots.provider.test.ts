import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PlacedPoolSandboxRef } from '../protocol/activities.ts'
import type { ExecResult } from '../protocol/exec.ts'
import { slotScope, slotUser, slotWorkspace } from '../protocol/names.ts'
import { profileSchema } from '../protocol/pool.ts'
import { openDockerFixture } from '../providers/docker/testing/docker-fixture.ts'
import type { DockerFixture } from '../providers/docker/testing/docker-fixture.ts'
import type { Runner } from '../runner/runner.ts'
import { testImageMap } from '../scripts/test-images.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { openPoolSandbox, removePoolSandbox } from './pool-sandboxes.ts'
import type { PoolDependencies } from './pool-sandboxes.ts'
import { resetSlots } from './reset-slots.ts'
import { SandboxAttachments } from './sandboxes.ts'

const { signal } = new AbortController()
let docker: DockerFixture

beforeAll(async () => {
  docker = await openDockerFixture()
})
afterAll(() => docker.dispose())

/** Two slots in one container: with setpriv, and with nothing but busybox' su. */
describe.each(['debian:12', 'alpine:3.20'])('slots in a container of %s', (image) => {
  let at: PoolDependencies
  let input: PlacedPoolSandboxRef
  let runner: Runner
  let release: () => void
  let resets = 0
  let lastCall = 0

  beforeAll(async () => {
    const { services } = await jobOfOneTask()
    const attachments = new SandboxAttachments(60_000)
    at = { services: { ...services, provider: async () => docker.provider }, attachments }
    const profile = profileSchema.parse({
      name: 'slots',
      provider: { name: 'docker' },
      runtime: { image, network: 'none', resources: { pids: 200 } },
      imageMap: testImageMap,
      slotsPerSandbox: 2,
    })
    const place = await docker.provider.place()
    input = { pool: `pool.test.${randomUUID()}`, owner: randomUUID(), sandboxNumber: 1, profile, place }
    const made = await openPoolSandbox(input, { ...at, signal, onProgress: () => {} })
    const lease = { provider: 'docker', place, sandbox: made.name, incarnation: 1, spec: made.spec }
    const held = Promise.withResolvers<void>()
    const opened = Promise.withResolvers<Runner>()
    void attachments.use({ provider: docker.provider, lease }, (found) => {
      opened.resolve(found)
      return held.promise
    })
    runner = await opened.promise
    release = held.resolve
  })
  afterAll(async () => {
    release()
    await removePoolSandbox({ ...input, mayAppear: false }, at)
    expect(await docker.provider.list({ workflow: input.pool })).toEqual([])
  })

  /** As the holder of the slot's lease of that phase. */
  function inSlot(slot: number, script: string, phase = 1): Promise<ExecResult> {
    const id = { scope: slotScope(slot), phase, batch: 0, call: (lastCall += 1), part: 0 }
    const { name } = slotUser(slot)
    return runner.exec({
      id,
      script,
      user: name,
      cwd: slotWorkspace(input.profile.workspaceBase, slot),
      timeoutMs: 30_000,
    })
  }
  const said = async (slot: number, script: string, phase = 1): Promise<string> => {
    const { outcome, stdout, stderr } = await inSlot(slot, script, phase)
    expect([outcome, stderr.head.toString()]).toEqual([{ type: 'exited', code: 0 }, ''])
    return stdout.head.toString().trim()
  }
  const reset = (slot: number, phase: number): Promise<void> =>
    resetSlots({ ...input, reset: (resets += 1), slots: [{ slot, phase }] }, { ...at, signal })

  test('each has its own user, home and workspace, and sees nothing of the other', async () => {
    expect(await said(0, 'id -u; pwd; echo "$HOME"; echo secret >mine')).toBe(
      '61000\n/workspace/slot-0\n/workspace/slot-0',
    )
    const { outcome } = await inSlot(1, 'cat /workspace/slot-0/mine')
    expect(outcome).toEqual({ type: 'exited', code: 1 })
    expect(
      await said(1, 'ls -A; rm -rf /workspace/slot-0/mine 2>/dev/null; touch /workspace/x 2>/dev/null || echo no'),
    ).toBe('no')
    expect(await said(0, 'cat mine')).toBe('secret')
  })

  test('a reset leaves nothing of a slot, whatever was done to stay, and everything of its neighbour', async () => {
    await said(1, 'echo stays >file; echo stays >/tmp/neighbour; (trap "" HUP TERM; sleep 300) >/dev/null 2>&1 &')
    await said(
      0,
      `echo x >..name; echo x >.hidden; echo x >"$(printf 'new\\nline')"; mkdir -p deep/er; ln -s /workspace/slot-1 link
      chmod 000 deep; mkfifo fifo; echo x >/tmp/left; mkdir /tmp/dir; echo x >/tmp/dir/inner; echo x >/dev/shm/left
      for i in 1 2 3; do (trap "" HUP TERM; env -i setsid sh -c "trap '' TERM; while :; do sleep 0.1; echo x >>/workspace/slot-0/late; done") >/dev/null 2>&1 & done`,
    )
    await reset(0, 1)
    expect(await said(0, 'ls -A; ls -A /tmp /dev/shm | grep -c left; stat -c "%a %u %g" .', 2)).toBe(
      '0\n700 61000 61000',
    )
    const mine = `for s in /proc/[0-9]*/status; do while read -r k v r; do [ "$k" = Uid: ] && [ "$v" = 61000 ] && echo "$s"; done <$s 2>/dev/null; done | wc -l`
    // The shell, the loop's own and wc.
    expect(Number(await said(0, mine, 2))).toBeLessThanOrEqual(3)
    expect(await said(1, 'cat file /tmp/neighbour')).toBe('stays\nstays')
    expect(
      await said(
        1,
        'for s in /proc/[0-9]*/cmdline; do tr "\\0" " " <$s 2>/dev/null; echo; done | grep -c "^sleep 300"',
      ),
    ).toBe('1')
  })

  test('what is still sent under a lease that is over is refused, and never run', async () => {
    await reset(0, 2)
    const { outcome } = await inSlot(0, 'echo x >late', 2)
    expect(outcome).toEqual({ type: 'lost', reason: 'acknowledged' })
    expect(await said(0, 'ls -A', 3)).toBe('')
  })

  test('the same reset again, late, does nothing to whoever has the slot by then', async () => {
    await reset(0, 3)
    await said(0, 'echo mine >file; sleep 300 >/dev/null 2>&1 &', 4)
    await resetSlots({ ...input, reset: resets, slots: [{ slot: 0, phase: 3 }] }, { ...at, signal })
    expect(await said(0, 'cat file; kill -0 -1 && echo runs', 4)).toBe('mine\nruns')
  })

  test('a program that a slot leaves set-uid with its neighbour has not the rights of its next holder', async () => {
    await said(1, 'chmod 711 .; mkdir -m 777 open')
    await said(0, 'cp /bin/cat /workspace/slot-1/open/cat; chmod 6755 /workspace/slot-1/open/cat', 4)
    await reset(0, 4)
    await said(0, 'echo secret >mine', 5)
    const { outcome, stdout } = await inSlot(1, './open/cat /workspace/slot-0/mine')
    expect([outcome, stdout.head.toString()]).toEqual([{ type: 'exited', code: 1 }, ''])
  })

  test('a slot full of processes is reset all the same', async () => {
    const running = inSlot(0, 'for i in $(seq 1 120); do sleep 300 & done; wait', 5)
    await expect
      .poll(() => said(1, 'ls -d /proc/[0-9]* | wc -l').then(Number), { timeout: 20_000 })
      .toBeGreaterThan(120)
    await reset(0, 5)
    expect((await running).outcome.type).not.toBe('exited')
    expect(await said(0, 'ls -A', 6)).toBe('')
  })
})
