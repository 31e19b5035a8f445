import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openTestSandbox, shells, uniqueScope } from './test-sandbox.ts'

/** What matters where many slots share a sandbox and an attachment. */

const isRoot = process.getuid?.() === 0

describe.each(shells)('with %s', (shell) => {
  test('the commands of each scope are forgotten, however many scopes take turns', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const scopes = Array.from({ length: 6 }, uniqueScope)
    for (let batch = 0; batch < 36; batch += 1) {
      for (const scope of scopes) if (batch % 16 === 0) runner.acknowledge({ scope, phase: 1, batch })
      const ids = scopes.map((scope) => ({ scope, phase: 1, batch, call: 0, part: 0 }))
      await Promise.all(ids.map((id) => runner.exec({ id, script: 'true', timeoutMs: 20_000 })))
    }
    const kept = (scope: string) => readdirSync(join(sandbox.journalDir, scope)).filter((name) => name.includes('-'))
    await expect.poll(() => scopes.map((scope) => kept(scope).length <= 20)).toEqual(scopes.map(() => true))
  })

  test.skipIf(!isRoot)('a user that is named by number is the same one in every command', async () => {
    await using sandbox = await openTestSandbox({ shell })
    const runner = sandbox.open()
    const scope = uniqueScope()
    const run = async (batch: number, user: string) => {
      const id = { scope, phase: 1, batch, call: 0, part: 0 }
      const result = await runner.exec({
        id,
        user,
        script: 'id -u; id -g; id -G; echo "$HOME $USER"',
        timeoutMs: 20_000,
      })
      return result.stdout.head.toString()
    }
    const nobody = await run(0, 'nobody')
    const other = '54321\n0\n0\n/ 54321\n'
    // busybox needs a name to become somebody: there a number must be somebody's.
    const users = shell === 'busybox' ? ['65534', '65534'] : ['65534', '65534', '54321', '65534', '54321']
    for (const [batch, user] of users.entries()) {
      expect(await run(batch + 1, user)).toBe(user === '65534' ? nobody : other)
    }
  })
})
