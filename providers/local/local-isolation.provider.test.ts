import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Runner } from '../../runner/runner.ts'
import { makeRequest, makeSpec, runnerOf, shellOf, withSandbox } from '../host-sandbox/sandbox-fixture.ts'
import { createLocalProvider } from './local-provider.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'

const stateDirectory = await temporaryFolder('local')
const local = createLocalProvider({ stateDirectory })

describe('from within a sandbox', () => {
  const request = makeRequest({ env: { GREETING: `it's "two"\nlines` } })
  let runner: Runner
  let shell: (script: string) => Promise<string>

  beforeAll(async () => {
    await local.createOrAdopt({ ...request, secrets: { TOKEN: 'hush' } })
    runner = runnerOf(local, request.name)
    shell = shellOf(runner)
  })

  afterAll(async () => {
    runner.close()
    await local.destroy(request.name)
    expect(await readdir(join(stateDirectory, 'local'))).toEqual([])
  })

  test('tasks have their absolute paths, all their own', async () => {
    expect(await shell('cd /app /tests && ls -A /app /tests /logs /solution /tmp /home /root /opt /srv')).toBe(
      '/app:\n\n/home:\n\n/logs:\n\n/opt:\n\n/root:\n\n/solution:\n\n/srv:\n\n/tests:\n\n/tmp:\n',
    )
    await shell('mkdir /data && echo x >/data/x && echo y >/tmp/y && echo z >/etc/z')
    await expect(readFile('/data/x')).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test.each([
    '/etc/shadow',
    '/etc/ssh',
    '/etc/environment',
    '/etc/profile.d',
    '/etc/sudoers',
    '/etc/gitconfig',
    '/etc/ssl/private',
    '/etc/docker',
    '/var/run/docker.sock',
    '/run/docker.sock',
    '/var/lib/docker',
    '/root/.ssh',
    '/root/.config',
    '/sys/class',
    '/boot',
    stateDirectory,
    process.cwd(),
  ])('%s of the host is not there', async (path) => {
    expect(await shell(`ls -d '${path}' 2>/dev/null || echo absent`)).toBe('absent\n')
  })

  test('the users of the host are not there', async () => {
    expect((await shell('cut -d: -f1 /etc/passwd')).split('\n')).toEqual(['root', 'nobody', ''])
  })

  test('the system of the host is there, read-only, also for root with a namespace of its own', async () => {
    expect(await shell('touch /usr/x /etc/ssl/certs/x 2>&1 || :')).toMatch(
      /Read-only file system[^]*Read-only file system/,
    )
    const remount = 'mount -o remount,rw,bind /usr'
    await expect(shell(`${remount} && touch /usr/x`)).rejects.toThrow(/permission denied|must be superuser/)
    await expect(shell(`unshare --map-root-user --mount sh -c '${remount} && touch /usr/x'`)).rejects.toThrow(/exited/)
  })

  test('root inside changes neither a setting of the machine nor the host’s devices, which work', async () => {
    const writable = "find /proc -path '/proc/[0-9]*' -prune -o -path '/proc/*self' -prune -o -type f -writable -print"
    const files = await shell(`${writable} 2>/dev/null || :`)
    expect(files).not.toMatch(/^\/proc\/(sys|irq|bus|fs|sysrq-trigger)\b/m)
    await expect(shell('f=/proc/sys/kernel/core_pattern; old=$(cat $f) && printf %s "$old" >$f')).rejects.toThrow(
      /Read-only file system/,
    )
    // The mode that it has: a failure of this test leaves the machine as it was.
    await expect(shell('chmod 666 /dev/full')).rejects.toThrow(/Read-only file system|not permitted/)
    expect(await shell('echo x >/dev/null && head -c 4 /dev/zero | wc -c')).toBe('4\n')
  })

  test('of processes only its own are seen', async () => {
    expect(await shell(`ls /proc/${process.pid}/cmdline 2>/dev/null || echo absent`)).toBe('absent\n')
    expect(await shell('cat /proc/*/comm | sort -u | tr "\\n" " "')).not.toMatch(/node|dockerd|temporal/)
  })

  test('the environment is the order’s and nothing else', async () => {
    const variables = (await shell('env -0 | tr "\\n\\0" " \\n" | sort')).trim().split('\n')
    expect(variables.filter((line) => !/^(_|PWD|OLDPWD|SHLVL|ROLLCALL_EXEC)=/.test(line))).toEqual([
      `GREETING=it's "two" lines`,
      'HOME=/root',
      'LANG=C.UTF-8',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'TOKEN=hush',
    ])
  })

  test('no argument list and no environment of a process holds a secret or a variable of the worker', async () => {
    process.env['LOCAL_CANARY'] = 'canary-of-the-worker'
    const other = makeRequest()
    await withSandbox(local, { ...other, secrets: { TOKEN: 'hush' } }, async (inOther) => {
      const seen = await inOther('cat /proc/[0-9]*/cmdline | tr "\\0" "\\n"; tr "\\0" "\\n" </proc/1/environ')
      expect(seen).not.toMatch(/hush|canary/)
      const outside = await commandLines()
      expect(outside.some((line) => line.includes(other.name))).toBe(true)
      expect(outside.filter((line) => line.includes('hush'))).toEqual([])
    })
    delete process.env['LOCAL_CANARY']
  })

  test('no descriptor of the worker is open', async () => {
    expect(await shell('for fd in /proc/1/fd/* /proc/self/fd/*; do readlink "$fd" || :; done')).not.toMatch(
      /socket|pipe/,
    )
  })

  test('the host’s loopback is not reached, the sandbox’s own works, also below port 1024', async () => {
    const server = createServer((socket) => socket.end('host')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    try {
      await expect(shell(`bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3'`)).rejects.toThrow(/refused/)
    } finally {
      server.close()
    }
    const python = `import socket; s = socket.socket(); s.bind(("127.0.0.1", 80)); s.listen(); socket.create_connection(("127.0.0.1", 80)); print("ok")`
    const hasPython = (await shell('command -v python3 || :')) !== ''
    if (hasPython) expect(await shell(`python3 -c '${python}'`)).toBe('ok\n')
    expect(await shell('cat /proc/net/route | wc -l')).toBe('1\n')
  })

  test('SIGINT is not ignored in commands', async () => {
    expect(await shell(`sh -c 'kill -INT $$; echo survived'; echo $?`)).toBe('130\n')
  })
})

test('a command outlives its worker, and another worker gets its answer', async () => {
  const request = makeRequest()
  await local.createOrAdopt(request)
  const script = 'echo started >/tmp/started; until [ -e /tmp/go ]; do sleep 0.02; done; cat /tmp/started'
  const argv = [join(import.meta.dirname, 'worker-fixture.ts'), stateDirectory, request.name, script]
  const runner = runnerOf(local, request.name)
  const shell = shellOf(runner)
  const first = spawn(process.execPath, argv, { stdio: 'ignore' })
  while ((await shell('cat /tmp/started 2>/dev/null || :')) !== 'started\n') await delay(20)
  first.kill('SIGKILL')
  await once(first, 'exit')
  await shell('echo once >>/tmp/started; touch /tmp/go')
  const second = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
  expect(await json(second.stdout)).toEqual({ outcome: { type: 'exited', code: 0 }, stdout: 'started\nonce\n' })
  runner.close()
  await local.destroy(request.name)
})

test('a sandbox outlives the worker that made it, and destroying it leaves no process', async () => {
  const request = makeRequest()
  const script = `
    import { createLocalProvider } from ${JSON.stringify(join(import.meta.dirname, 'local-provider.ts'))}
    const request = JSON.parse(process.argv[1])
    await createLocalProvider({ stateDirectory: ${JSON.stringify(stateDirectory)} }).createOrAdopt(request)
    process.kill(process.pid, 'SIGKILL')`
  const argv = ['--input-type=module', '-e', script, JSON.stringify(request)]
  const [, signal]: unknown[] = await once(spawn(process.execPath, argv, { stdio: 'inherit' }), 'exit')
  expect(signal).toBe('SIGKILL')
  await withSandbox(local, request, async (shell) => {
    await shell('(setsid env -i sleep 87654 &) ; (nohup sleep 87654 &); sleep 87654 >/dev/null 2>&1 &')
    expect((await commandLines()).filter((line) => line.includes('sleep\x0087654')).length).toBeGreaterThan(0)
  })
  expect((await commandLines()).filter((line) => line.includes('87654') || line.includes(request.name))).toEqual([])
})

test('a worker that dies while it makes a sandbox leaves it to be finished or removed', async () => {
  const request = makeRequest()
  const script = `
    import { createLocalProvider } from ${JSON.stringify(join(import.meta.dirname, 'local-provider.ts'))}
    const local = createLocalProvider({ stateDirectory: ${JSON.stringify(stateDirectory)} })
    void local.createOrAdopt(JSON.parse(process.argv[1]))
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), Number(process.argv[2]))`
  for (const afterMs of [5, 15, 20, 25, 30, 40]) {
    const argv = ['--input-type=module', '-e', script, JSON.stringify(request), String(afterMs)]
    await once(spawn(process.execPath, argv, { stdio: 'inherit' }), 'exit')
    await withSandbox(local, request, async (shell) => expect(await shell('echo alive')).toBe('alive\n'))
  }
  expect((await commandLines()).filter((line) => line.includes(request.name))).toEqual([])
})

test('an agent that kills by command line does not meet the words of the runner’s own programs', async () => {
  await withSandbox(local, makeRequest(), async (shell) => {
    const words = ['sleep', 'server', 'read', 'tar', 'kill', 'env', 'start', 'python', 'node', 'cat', 'trap']
    const lines = await shell('for f in /proc/[0-9]*/cmdline; do tr "\\0" " " <$f; echo; done')
    const ofRunner = lines.split('\n').filter((line) => line.includes('/run/rollcall/'))
    expect(ofRunner.length).toBeGreaterThanOrEqual(3)
    for (const word of words) expect(ofRunner.filter((line) => new RegExp(`\\b${word}\\b`).test(line))).toEqual([])
  })
})

test('the death of the attach loop or of process 1’s child makes the sandbox unusable, not silent', async () => {
  const request = makeRequest()
  await local.createOrAdopt(request)
  const runner = runnerOf(local, request.name)
  const killed = shellOf(runner)('kill -9 -1')
  await expect(killed).rejects.toMatchObject({ code: 'sandbox-lost' })
  await expect(local.connect(request.name)).rejects.toMatchObject({ code: 'sandbox-lost' })
  runner.close()
  await local.destroy(request.name)
})

test('files of a Dockerfile are there, and the lock file says what stood in for its image', async () => {
  const directory = await temporaryFolder('context')
  await writeFile(
    join(directory, 'Dockerfile'),
    'FROM ubuntu:24.04\nENV KIND=test\nWORKDIR /srv/work\nCOPY --chmod=755 hello.sh /opt/tools/\nCMD ["bash"]\n',
  )
  await writeFile(join(directory, 'hello.sh'), '#!/bin/sh\necho "hello $KIND"\n')
  const request = makeRequest({ image: { type: 'dockerfile', directory, contentHash: 'x' } })
  await withSandbox(local, request, async (shell) => {
    expect(await shell('pwd; /opt/tools/hello.sh; stat -c "%u %a" /opt/tools/hello.sh')).toBe(
      '/srv/work\nhello test\n0 755\n',
    )
    expect((await local.find(request.name))?.image).toMatch(
      /^the host's own system, .+, in place of ubuntu:24.04; without effect: CMD in line 5$/,
    )
  })
})

test('mounts are there, read-only or not as ordered', async () => {
  const source = await temporaryFolder('mount')
  await writeFile(join(source, 'given'), 'given')
  const mounts = [
    { source, target: '/mnt/ro', readOnly: true },
    { source, target: '/mnt/rw', readOnly: false },
  ]
  await withSandbox(local, makeRequest({ mounts }), async (shell) => {
    expect(await shell('cat /mnt/ro/given; echo taken >/mnt/rw/taken')).toBe('given')
    await expect(shell('touch /mnt/ro/x')).rejects.toThrow(/Read-only/)
  })
  expect(await readFile(join(source, 'taken'), 'utf8')).toBe('taken\n')
})

describe('consent', () => {
  test('a task that asks for the network needs --local-network, and has it then', async () => {
    const spec = makeSpec({ network: { mode: 'public' }, networkAsked: true })
    expect(await local.check(spec)).toMatchObject([{ field: 'network', expected: /--local-network/ }])
    const open = createLocalProvider({ stateDirectory, allowNetwork: true })
    expect(await open.check(spec)).toEqual([])
    const server = createServer((socket) => socket.end('host')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    await withSandbox(open, makeRequest({ network: { mode: 'public' }, networkAsked: true }), async (shell) => {
      expect(await shell(`bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port} && cat <&3'`)).toBe('host')
    })
    server.close()
  })

  test('a task whose format defaults to public does not ask: it has no network, and the lock file says so', async () => {
    const request = makeRequest({ network: { mode: 'public' }, networkAsked: false })
    expect(await local.check(request.spec)).toEqual([])
    await withSandbox(local, request, async (shell) => {
      expect(await shell('cat /proc/net/route | wc -l')).toBe('1\n')
      expect((await local.find(request.name))?.image).toMatch(/no network, since the task does not ask for it/)
    })
  })

  test('limits that are not enforced need consent, and the lock file says so', async () => {
    const spec = makeSpec({ resources: { memoryMiB: 512, cpus: 1 } })
    const problems = await local.check(spec)
    expect(problems.map(({ field }) => field)).toEqual(['resources.cpus', 'resources.memoryMiB'])
    expect(problems[0]?.expected).toMatch(/--provider-arg limits=ignore/)
    const consenting = createLocalProvider({ stateDirectory, ignoreLimits: true })
    const request = makeRequest({ resources: { memoryMiB: 512, cpus: 1 } })
    expect((await consenting.createOrAdopt(request)).image).toMatch(/limits not enforced: cpus 1, memoryMiB 512/)
    await consenting.destroy(request.name)
  })

  test('without bubblewrap check says how to get it', async () => {
    const without = createLocalProvider({ stateDirectory, bwrapPath: '/no/such/bwrap' })
    expect(await without.check(makeSpec())).toMatchObject([
      { field: '--provider', value: 'local', expected: /apt-get install -y bubblewrap.*--unsafe-local/ },
    ])
  })
})

test('other users of the host cannot enter the directory of sandboxes', async () => {
  const request = makeRequest()
  await local.createOrAdopt(request)
  expect((await stat(join(stateDirectory, 'local'))).mode & 0o777).toBe(0o700)
  expect((await stat(join(stateDirectory, 'local', request.name))).mode & 0o777).toBe(0o700)
  await local.destroy(request.name)
})

/** Command lines of all processes that run; zombies have none. */
async function commandLines(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line !== '')
}

test('a sandbox needs nothing of the PATH that its worker was started with', async () => {
  const { PATH } = process.env
  process.env['PATH'] = '/nonexistent'
  try {
    await withSandbox(local, makeRequest(), async (shell) => expect(await shell('echo here')).toBe('here\n'))
  } finally {
    if (PATH !== undefined) process.env['PATH'] = PATH
  }
}, 30_000)
