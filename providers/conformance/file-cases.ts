import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { extract, pack } from 'tar-stream'
import { downloadTree, readFile, uploadFile, uploadTree, writeFile, type FileProblem } from '../../runner/files.ts'
import type { ConformanceCase, OpenSandbox } from './conformance-case.ts'
import { needsUsers } from './input-cases.ts'
import { quoted, succeeded } from './expectations.ts'

const limitBytes = 1024 * 1024

/** Names that break whoever builds command lines out of paths. */
const oddNames = [
  'with space',
  `it's "quoted"`,
  'new\nline',
  'trailing newline\n',
  'tab\there',
  'ünï€🙂',
  '-dash',
  '--help',
  '..hidden',
  '$(touch PWNED)',
  '`id`',
  '*?[a]',
  'back\\slash',
  'semi;colon&amp|pipe',
  '~',
]

/** Files in and out, one by one and as trees. */
export const fileCases: readonly ConformanceCase[] = [
  {
    name: 'a file comes back as it was written: text, every byte, nothing at all',
    run: async (context) => {
      const sandbox = await context.shared()
      const every = Buffer.from(Array.from({ length: 2048 }, (_, index) => index % 256))
      for (const content of [Buffer.from('plain\n'), Buffer.from('ü€🙂 no newline'), every, Buffer.alloc(0)]) {
        await write(sandbox, '/tmp/round-trip', content)
        assert.deepEqual(await read(sandbox, '/tmp/round-trip'), content)
      }
    },
  },
  {
    name: 'a file of 20 MiB arrives whole',
    run: async (context) => {
      const sandbox = await context.shared()
      const content = randomBytes(20 * 1024 * 1024)
      await write(sandbox, '/tmp/large', content)
      const digest = createHash('sha256').update(content).digest('hex')
      assert.equal(succeeded(await sandbox.run('sha256sum </tmp/large')).slice(0, 64), digest)
    },
  },
  {
    name: 'odd names are just names, absolute and relative',
    run: async (context) => {
      const sandbox = await context.shared()
      for (const name of oddNames) {
        for (const path of [`/tmp/odd/${name}`, `odd/${name}`, name]) {
          const content = Buffer.from(path)
          const options = path.startsWith('/') ? {} : { cwd: '/tmp' }
          await write(sandbox, path, content, options)
          assert.deepEqual(await read(sandbox, path, options), content)
          const whole = path.startsWith('/') ? path : `/tmp/${path}`
          assert.equal(succeeded(await sandbox.run(`cat ${quoted(whole)}`)), path)
        }
      }
      assert.equal(succeeded(await sandbox.run('find /tmp / -maxdepth 1 -name PWNED')), '')
    },
  },
  {
    name: 'parents are made, and what was there is replaced',
    run: async (context) => {
      const sandbox = await context.shared()
      const path = '/tmp/made/for/this/file'
      await write(sandbox, path, Buffer.from('first, and longer'))
      await write(sandbox, path, Buffer.from('second'))
      assert.equal((await read(sandbox, path)).toString(), 'second')
      assert.equal(succeeded(await sandbox.run('ls -A /tmp/made/for/this')), 'file\n')
    },
  },
  {
    name: 'a file that is replaced keeps its mode, a link its target',
    run: async (context) => {
      const sandbox = await context.shared()
      succeeded(await sandbox.run('cd /tmp; echo a >target; chmod 750 target; ln -sf target link'))
      await write(sandbox, '/tmp/link', Buffer.from('b\n'))
      assert.equal(
        succeeded(await sandbox.run('cd /tmp; cat target; stat -c %a target; readlink link')),
        'b\n750\ntarget\n',
      )
    },
  },
  {
    name: 'what cannot be read is told apart: not found, a directory, not a file',
    run: async (context) => {
      const sandbox = await context.shared()
      succeeded(await sandbox.run('cd /tmp; mkdir -p folder; ln -sf nowhere dangling; rm -f fifo; mkfifo fifo'))
      const problems: [string, FileProblem][] = [
        ['/tmp/no-such-file', 'not-found'],
        ['/tmp/no/such/folder/file', 'not-found'],
        ['/tmp/dangling', 'not-found'],
        ['/tmp/folder', 'is-a-directory'],
        ['/tmp/fifo', 'not-a-file'],
      ]
      for (const [path, problem] of problems) assert.equal(await readProblem(sandbox, path), problem, path)
    },
  },
  {
    name: 'what cannot be written is told apart: a directory, no permission',
    needs: needsUsers,
    run: async (context) => {
      const sandbox = await context.shared()
      succeeded(await sandbox.run('mkdir -p /tmp/locked /tmp/folder; echo x >/tmp/locked/file; chmod 700 /tmp/locked'))
      const content = Buffer.from('x')
      const writeAs = (path: string, user: string) =>
        writeFile(sandbox.runner, { id: sandbox.nextId(), path, content, user })
      assert.equal((await writeAs('/tmp/folder', 'root')).type, 'is-a-directory')
      assert.equal((await writeAs('/tmp/locked/new', 'nobody')).type, 'permission-denied')
      assert.equal((await writeAs('/etc/conformance', 'nobody')).type, 'permission-denied')
      assert.equal(await readProblem(sandbox, '/tmp/locked/file', 'nobody'), 'permission-denied')
    },
  },
  {
    name: 'a file that is too large to read is cut and flagged',
    run: async (context) => {
      const sandbox = await context.shared()
      await write(sandbox, '/tmp/cut', Buffer.from('0123456789'))
      const cutAt = async (maxBytes: number) => {
        const outcome = await readFile(sandbox.runner, { id: sandbox.nextId(), path: '/tmp/cut', maxBytes })
        assert.equal(outcome.type, 'read')
        return outcome.type === 'read' ? [outcome.content.toString(), outcome.truncated] : []
      }
      assert.deepEqual(await cutAt(4), ['0123', true])
      assert.deepEqual(await cutAt(10), ['0123456789', false])
    },
  },
  {
    name: 'writing the same file again under the same id changes nothing',
    run: async (context) => {
      const sandbox = await context.shared()
      const request = { id: sandbox.nextId(), path: '/tmp/written-once', content: Buffer.from('first') }
      assert.equal((await writeFile(sandbox.runner, request)).type, 'written')
      await write(sandbox, request.path, Buffer.from('since then'))
      assert.equal((await writeFile(sandbox.runner, request)).type, 'written')
      assert.equal((await read(sandbox, request.path)).toString(), 'since then')
    },
  },
  {
    name: 'a tree goes in and comes out with names, modes, links and bytes',
    run: async (context) => {
      const sandbox = await context.shared()
      const { runner, nextId } = sandbox
      const tree = [
        { name: 'run.sh', mode: 0o755, text: '#!/bin/sh\n' },
        { name: `it's a "name"`, mode: 0o600, text: 'ü\n' },
        { name: 'empty', mode: 0o644, text: '' },
      ]
      await uploadTree(runner, { id: nextId(), tar: await packTree(tree), directory: '/tmp/tree/made' })
      await uploadFile(runner, {
        id: nextId(),
        path: '/tmp/tree/made/sub/one',
        content: Buffer.from('one'),
        mode: '640',
      })
      succeeded(await sandbox.run('cd /tmp/tree/made && ln -s run.sh link && ./run.sh'))
      const chunks: Buffer[] = []
      const sink = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          chunks.push(Buffer.from(chunk))
          done()
        },
      })
      await downloadTree(runner, { id: nextId(), directory: '/tmp/tree/made', sink })
      assert.deepEqual(
        await unpackTree(Buffer.concat(chunks)),
        [
          ...tree.map(({ name, mode, text }) => `${name} ${mode.toString(8)} ${text}`),
          'link -> run.sh',
          'sub/one 640 one',
        ].toSorted(),
      )
    },
  },
]

async function write(
  sandbox: OpenSandbox,
  path: string,
  content: Buffer,
  options: { cwd?: string } = {},
): Promise<void> {
  const { type, result } = await writeFile(sandbox.runner, { id: sandbox.nextId(), path, content, ...options })
  assert.equal(type, 'written', `${JSON.stringify(path)}: ${result.stderr.head.toString()}`)
}

async function read(sandbox: OpenSandbox, path: string, options: { cwd?: string } = {}): Promise<Buffer> {
  const outcome = await readFile(sandbox.runner, { id: sandbox.nextId(), path, maxBytes: limitBytes, ...options })
  assert.equal(outcome.type, 'read', JSON.stringify(path))
  return outcome.type === 'read' ? outcome.content : Buffer.alloc(0)
}

async function readProblem(sandbox: OpenSandbox, path: string, user?: string): Promise<string> {
  const request = { id: sandbox.nextId(), path, maxBytes: limitBytes, ...(user !== undefined && { user }) }
  return (await readFile(sandbox.runner, request)).type
}

async function packTree(files: readonly { name: string; mode: number; text: string }[]): Promise<Buffer> {
  const archive = pack()
  for (const { name, mode, text } of files) archive.entry({ name, mode }, text)
  archive.finalize()
  const chunks: Uint8Array[] = []
  for await (const chunk of archive) {
    assert.ok(chunk instanceof Uint8Array)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** One line for each file and link, sorted. */
async function unpackTree(tar: Buffer): Promise<string[]> {
  const archive = extract()
  archive.end(tar)
  const lines: string[] = []
  for await (const entry of archive) {
    const chunks: unknown[] = []
    for await (const chunk of entry) chunks.push(chunk)
    const { name, type, mode, linkname } = entry.header
    const path = name.replace(/^\.\//, '')
    if (type === 'file') lines.push(`${path} ${mode?.toString(8)} ${chunks.map(String).join('')}`)
    if (type === 'symlink') lines.push(`${path} -> ${linkname}`)
  }
  return lines.toSorted()
}
