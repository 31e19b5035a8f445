import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Capabilities } from '../contract/provider.ts'
import type { CapabilityNeed, ConformanceCase } from './conformance-case.ts'
import { bytesOf, failsWith, succeeded } from './expectations.ts'

export const needsUsers: CapabilityNeed = {
  isMet: (capabilities: Capabilities) => capabilities.users,
  order: { user: 'nobody' },
  field: 'user',
}

/** Standard input, and who a command runs as. */
export const inputCases: readonly ConformanceCase[] = [
  {
    name: 'without input, standard input is at its end',
    run: async (context) => {
      const { run } = await context.shared()
      assert.equal(succeeded(await run('wc -c | tr -d " "')), '0\n')
      assert.equal(succeeded(await run('wc -c | tr -d " "', { stdin: Buffer.alloc(0) })), '0\n')
    },
  },
  {
    name: 'input arrives verbatim: text, shell’s special characters, no newline at the end',
    run: async (context) => {
      const { run } = await context.shared()
      for (const text of ['plain\n', `$HOME \`id\` "a" 'b' \\n ; & | * \n`, 'ü€🙂', '\n\n', 'EOF\n.\n', '-n']) {
        assert.equal(succeeded(await run('cat', { stdin: Buffer.from(text) })), text)
      }
    },
  },
  {
    name: 'input arrives verbatim: every byte, NUL included',
    run: async (context) => {
      const { run } = await context.shared()
      const stdin = Buffer.from(Array.from({ length: 1024 }, (_, index) => index % 256))
      assert.deepEqual(bytesOf((await run('cat', { stdin })).stdout), stdin)
    },
  },
  {
    name: '50 MiB of input arrive',
    run: async (context) => {
      const { run } = await context.shared()
      const stdin = randomBytes(50 * 1024 * 1024)
      const expected = createHash('sha256').update(stdin).digest('hex')
      const printed = succeeded(await run('sha256sum', { stdin, timeoutMs: 60_000 }))
      assert.equal(printed.slice(0, 64), expected)
    },
  },
  {
    name: 'a command that does not read its input ends nevertheless',
    run: async (context) => {
      const { run } = await context.shared()
      assert.equal(succeeded(await run('echo done', { stdin: Buffer.alloc(1024 * 1024) })), 'done\n')
    },
  },
  {
    name: 'a running command is given input, read and signalled, each once however often it is asked',
    run: async (context) => {
      const { runner, attach, nextId } = await context.shared()
      const id = nextId()
      const script =
        'trap \'echo signalled; exit 7\' TERM; read -r line; echo "got $line"; while :; do sleep 0.05; done'
      const result = runner.exec({ id, script, input: 'open', timeoutMs: 30_000 })
      const other = attach()
      const input = { id, offset: 0, bytes: Buffer.from('one\n') }
      assert.equal(await runner.writeInput(input), 'written')
      assert.equal(await other.writeInput(input), 'written')
      const read = async () => (await other.readOutput({ id, stdout: 0, stderr: 0 })).stdout.toString()
      while ((await read()) !== 'got one\n')
        assert.equal((await other.readOutput({ id, stdout: 0, stderr: 0 })).state, 'running')
      assert.equal(await other.signal({ id, signal: 'TERM', number: 1 }), 'sent')
      assert.deepEqual((await result).outcome, { type: 'exited', code: 7 })
      assert.equal(bytesOf((await result).stdout).toString(), 'got one\nsignalled\n')
      assert.equal(await runner.signal({ id, signal: 'TERM', number: 1 }), 'ended')
      other.close()
    },
  },
  {
    name: 'a command runs as root, and as a named user with that user’s rights',
    needs: needsUsers,
    run: async (context) => {
      const { run } = await context.shared()
      assert.equal(succeeded(await run('id -u', { user: 'root' })), '0\n')
      assert.equal(succeeded(await run('id -un', { user: 'nobody' })), 'nobody\n')
      const result = await run('cat /proc/1/environ', { user: 'nobody' })
      assert.notDeepEqual(result.outcome, { type: 'exited', code: 0 })
    },
  },
  {
    name: 'the order’s user is the one of every command that names no other',
    needs: needsUsers,
    run: async (context) => {
      const { run } = await context.open({ user: 'nobody' })
      assert.equal(succeeded(await run('id -un')), 'nobody\n')
      assert.equal(succeeded(await run('id -un', { user: 'root' })), 'root\n')
    },
  },
  {
    name: 'a user that does not exist is refused by name, and nothing runs',
    needs: needsUsers,
    run: async (context) => {
      const { run } = await context.shared()
      const refused = run('touch /tmp/must-not-run', { user: 'no-such-user' })
      assert.match(await failsWith('runtime-unsupported', refused), /no-such-user/)
      succeeded(await run('test ! -e /tmp/must-not-run'))
    },
  },
  {
    name: 'a command’s files have the usual rights, whoever runs it',
    run: async (context) => {
      const { run } = await context.shared()
      assert.equal(succeeded(await run('umask; touch /tmp/mode && stat -c %a /tmp/mode')), '0022\n644\n')
    },
  },
]
