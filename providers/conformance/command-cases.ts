import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { ConformanceCase } from './conformance-case.ts'
import { exitedWith, quoted, succeeded, textOf } from './expectations.ts'

/** What a command is given and what of its end is reported. */
export const commandCases: readonly ConformanceCase[] = [
  {
    name: 'stdout and stderr come apart, as UTF-8 that the sandbox wrote',
    run: async (context) => {
      const { run } = await context.shared()
      const result = await run(`printf '\\303\\274 \\342\\202\\254\\n'; printf '\\360\\237\\231\\202' >&2`)
      assert.equal(succeeded(result), 'ü €\n')
      assert.equal(textOf(result.stderr), '🙂')
    },
  },
  {
    name: 'an exit code is reported as it is',
    run: async (context) => {
      const { run } = await context.shared()
      for (const code of [0, 1, 70, 124, 126, 127, 137, 255]) exitedWith(await run(`exit ${code}`), code)
    },
  },
  {
    name: 'a program that is not there is exit code 127, one that may not be run 126',
    run: async (context) => {
      const { run } = await context.shared()
      exitedWith(await run('no-such-program-anywhere'), 127)
      const result = await run('echo true >/tmp/not-executable; chmod 644 /tmp/not-executable; /tmp/not-executable')
      exitedWith(result, 126)
      assert.match(textOf(result.stderr), /permission denied/i)
    },
  },
  {
    name: 'a failing command is a result with its output',
    run: async (context) => {
      const { run } = await context.shared()
      const result = await run('echo before; echo trouble >&2; exit 3')
      exitedWith(result, 3)
      assert.equal(textOf(result.stdout), 'before\n')
      assert.equal(textOf(result.stderr), 'trouble\n')
    },
  },
  {
    name: 'variables reach the command verbatim',
    run: async (context) => {
      const { run } = await context.shared()
      const env = { PLAIN: 'x', SPECIAL: `a b"c'd$HOME\`id\`\\n*`, LINES: 'one\ntwo', UTF8: 'ü€🙂', EMPTY: '' }
      const script = 'printf "%s|" "$PLAIN" "$SPECIAL" "$LINES" "$UTF8" "${EMPTY-unset}"'
      const expected = `${Object.values(env).join('|')}|`
      assert.equal(succeeded(await run(script, { env })), expected)
    },
  },
  {
    name: 'variables of the order reach every command, and a command’s own go before them',
    run: async (context) => {
      const { run } = await context.open({ env: { CONFORMANCE_A: `it's "a"`, CONFORMANCE_B: 'two\nlines' } })
      const script = 'printf "%s|%s" "$CONFORMANCE_A" "$CONFORMANCE_B"'
      assert.equal(succeeded(await run(script)), `it's "a"|two\nlines`)
      assert.equal(succeeded(await run(script, { env: { CONFORMANCE_A: 'own' } })), 'own|two\nlines')
    },
  },
  {
    name: 'secrets of the order reach commands',
    run: async (context) => {
      const { run } = await context.open({ secrets: ['CONFORMANCE_TOKEN'] })
      assert.equal(succeeded(await run('printf %s "$CONFORMANCE_TOKEN"')), 'secret of CONFORMANCE_TOKEN')
    },
  },
  {
    name: 'nothing of the worker’s environment is visible inside',
    run: async (context) => {
      const canary = randomUUID()
      process.env['CONFORMANCE_CANARY'] = canary
      try {
        const { run } = await context.open()
        const visible = succeeded(await run(`env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'`))
        assert.match(visible, /PATH=/)
        assert.ok(!visible.includes(canary), 'a variable of the worker is visible')
        assert.ok(!visible.includes('CONFORMANCE_CANARY'), 'the name of a variable of the worker is visible')
      } finally {
        delete process.env['CONFORMANCE_CANARY']
      }
    },
  },
  {
    name: 'commands start in the sandbox’s working directory',
    run: async (context) => {
      const { run, sandbox } = await context.shared()
      assert.equal(succeeded(await run('pwd')), `${sandbox.workdir}\n`)
      assert.equal(
        succeeded(await run('mkdir -p relative && cd relative && pwd')),
        `${sandbox.workdir}/relative\n`.replace('//', '/'),
      )
    },
  },
  {
    name: 'the working directory of the order is made where it is missing',
    run: async (context) => {
      const { run, sandbox } = await context.open({ workdir: '/app/made/by order' })
      assert.equal(sandbox.workdir, '/app/made/by order')
      assert.equal(succeeded(await run('pwd; touch x')), '/app/made/by order\n')
    },
  },
  {
    name: 'a command starts in the directory it names; a missing one is exit code 1 with a message',
    run: async (context) => {
      const { run } = await context.shared()
      assert.equal(succeeded(await run('pwd', { cwd: '/tmp' })), '/tmp\n')
      const name = `/tmp/it's a "directory" ü`
      succeeded(await run(`mkdir -p ${quoted(name)}`))
      assert.equal(succeeded(await run('pwd', { cwd: name })), `${name}\n`)
      const result = await run('touch /tmp/must-not-exist', { cwd: '/no/such/directory' })
      exitedWith(result, 1)
      assert.match(textOf(result.stderr), /\/no\/such\/directory/)
      succeeded(await run('test ! -e /tmp/must-not-exist'))
    },
  },
  {
    name: 'a command of 1 MiB runs',
    run: async (context) => {
      const { run } = await context.shared()
      const text = 'x'.repeat(1024 * 1024)
      assert.equal(succeeded(await run(`text='${text}'\necho \${#text}`)), `${text.length}\n`)
    },
  },
  {
    name: 'arguments of 1 MiB together reach a program',
    run: async (context) => {
      const { run } = await context.shared()
      const words = Array.from({ length: 16 }, (_, index) => `'${String.fromCharCode(97 + index).repeat(64 * 1024)}'`)
      const script = `sh -c 'echo $# \${#16}; printf %s "\${16}" | cut -c 1-3' sh ${words.join(' ')}`
      assert.equal(succeeded(await run(script)), `16 ${64 * 1024}\nppp\n`)
    },
  },
  {
    name: 'a command that kills everything named like a common program does not end the sandbox',
    run: async (context) => {
      const { run } = await context.open()
      const script = `
for word in sleep cat printf python server test read kill env; do
  for file in /proc/[0-9]*/cmdline; do
    pid=\${file#/proc/}; pid=\${pid%/cmdline}
    if [ "$pid" != $$ ] && tr '\\0' ' ' <"$file" 2>/dev/null | grep -q "$word"; then kill -TERM "$pid" 2>/dev/null; fi
  done
done
echo over`
      succeeded(await run('cat >/tmp/killer', { stdin: Buffer.from(script) }))
      const result = await run('exec sh /tmp/killer')
      assert.equal(succeeded(result), 'over\n')
      assert.equal(succeeded(await run('echo alive')), 'alive\n')
    },
  },
  {
    name: 'bash runs the script where bash is asked for and there',
    run: async (context) => {
      const { run, runner } = await context.shared()
      const { bash } = await runner.hello()
      const result = await run('echo "${BASH_VERSION:-none}"; exit 5', { shell: 'bash' })
      exitedWith(result, 5)
      assert.equal(textOf(result.stdout) !== 'none\n', bash)
    },
  },
  {
    name: 'commands run side by side',
    run: async (context) => {
      const { run } = await context.shared()
      const startedAt = performance.now()
      const results = await Promise.all(Array.from({ length: 8 }, (_, index) => run(`sleep 1; echo ${index}`)))
      assert.deepEqual(
        results.map(succeeded),
        Array.from({ length: 8 }, (_, index) => `${index}\n`),
      )
      assert.ok(
        performance.now() - startedAt < 6_000,
        'eight commands of one second took as long as one after the other',
      )
    },
  },
]
