import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import { afterAll, expect, test } from 'vitest'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { describeConformance } from '../conformance/describe-conformance.ts'
import { readOrder } from '../host-sandbox/order.ts'
import { makeRequest, runnerOf, withSandbox } from '../host-sandbox/sandbox-fixture.ts'
import { prepareSandbox } from './prepare-sandbox.ts'
import { createSshProvider } from './ssh-provider.ts'
import { SshNode } from './ssh-node.ts'
import { startSshd } from './sshd-fixture.ts'

const folder = await temporaryFolder('ssh')
const sshd = await startSshd(folder)
const workspace = join(folder, 'nodes')

afterAll(() => sshd.stop())

const makeProvider = () => createSshProvider({ target: sshd.target, workspace })

describeConformance('ssh', { makeProvider })

async function cutConnections(): Promise<void> {
  for (const pid of await sshd.sessions()) process.kill(pid, 'SIGKILL')
}

test('a command goes on while its connections are cut, and runs once', async () => {
  const provider = makeProvider()
  const request = makeRequest()
  await withSandbox(provider, request, async (shell) => {
    await shell('touch /app/effects')
    const runner = runnerOf(provider, request.name)
    const id = { scope: 'cut', phase: 1, batch: 0, call: 0, part: 0 }
    const script = 'echo begun >> effects; until [ -e go ]; do sleep 0.05; done; echo done; echo ended >> effects'
    const answer = runner.exec({ id, script, cwd: '/app', timeoutMs: 60_000 })
    await expect.poll(() => shell('cat /app/effects')).toBe('begun\n')
    await cutConnections()
    await expect.poll(() => shell('touch /app/go && echo again').catch(() => '')).toBe('again\n')
    const { outcome, stdout } = await answer
    expect([outcome, stdout.head.toString()]).toEqual([{ type: 'exited', code: 0 }, 'done\n'])
    expect(await shell('cat /app/effects')).toBe('begun\nended\n')
    runner.close()
  })
  await provider.close()
})

test('a sandbox whose maker died before it was started is started by the next one, but not for another owner', async () => {
  const node = new SshNode(sshd.target, workspace)
  const request = makeRequest()
  const { home, system, isRoot } = await node.probe()
  const scratch = await mkdtemp(join(tmpdir(), 'rollcall-ssh-'))
  const at = { scratch, home, system, isRoot, hostNetwork: false, notes: [] }
  const prepared = await prepareSandbox({ ...at, request, order: await readOrder(request.spec) })
  await node.call({ verb: 'make', name: request.name, input: prepared.archive() })
  await rm(scratch, { recursive: true })
  await node.close()
  const provider = makeProvider()
  expect(await provider.find(request.name)).toMatchObject({ state: 'dead' })
  const stranger = { ...request, ownership: { ...request.ownership, owner: 'somebody-else' } }
  await expect(provider.createOrAdopt(stranger)).rejects.toMatchObject({ code: 'sandbox-conflict' })
  await withSandbox(provider, request, async (shell) => expect(await shell('pwd')).toBe('/app\n'))
  await provider.close()
})

test('a picture of the system folders shows what has changed there, also where its times are set back', async () => {
  const provider = makeProvider()
  const request = makeRequest()
  await withSandbox(provider, request, async (shell) => {
    const look = async () => new Map((await provider.systemPicture?.(request.name))?.paths)
    const before = await look()
    await shell(
      'touch -r /etc/group /tmp/when; echo x >>/etc/group; touch -r /tmp/when /etc/group; rm /bin; mkdir /bin',
    )
    const after = await look()
    const changed = [...after.keys()].filter((path) => after.get(path) !== before.get(path))
    expect(changed.toSorted()).toEqual(['/bin', '/etc/group'])
  })
  await provider.close()
})

test('an upload that breaks off leaves nothing that has a name', async () => {
  const node = new SshNode(sshd.target, workspace)
  const { home } = await node.probe()
  // The beginning of a tar: one directory, without an end.
  const archive = pack()
  archive.entry({ name: 'root', type: 'directory' })
  archive.finalize()
  const beginning = Buffer.concat(await Readable.from(archive).toArray()).subarray(0, 512)
  const answer = await node.call({ verb: 'make', name: 'half', input: Readable.from([beginning]) })
  expect(answer.code).toBe(74)
  expect((await readdir(home)).filter((name) => name === 'half' || name.startsWith('.making'))).toEqual([])
  await node.close()
})

test('programs that somebody removed from the node are put there again', async () => {
  const provider = makeProvider()
  await provider.place()
  for (const name of await readdir(workspace)) {
    if (name.startsWith('.programs')) await rm(join(workspace, name), { recursive: true })
  }
  await expect(provider.list({})).rejects.toMatchObject({ code: 'provider-unavailable' })
  expect(await provider.list({})).toEqual([])
  await provider.close()
})
