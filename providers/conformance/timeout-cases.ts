import assert from 'node:assert/strict'
import type { CapabilityNeed, ConformanceCase } from './conformance-case.ts'
import { countProcesses, eventually, exitedWith, succeeded, textOf } from './expectations.ts'

const needsMemory: CapabilityNeed = {
  isMet: (capabilities) => capabilities.resources.includes('memoryMiB'),
  order: { resources: { memoryMiB: 128 } },
  field: 'resources.memoryMiB',
}

/** How commands end that do not end by themselves. */
export const timeoutCases: readonly ConformanceCase[] = [
  {
    name: 'a timeout is reported as one, soon after it has come, with the output until then',
    run: async (context) => {
      const { run } = await context.shared()
      const startedAt = performance.now()
      const result = await run('echo before; echo trouble >&2; sleep 100', { timeoutMs: 500 })
      const tookMs = performance.now() - startedAt
      assert.deepEqual(result.outcome, { type: 'timed-out' })
      assert.equal(textOf(result.stdout), 'before\n')
      assert.equal(textOf(result.stderr), 'trouble\n')
      assert.ok(tookMs >= 500 && tookMs < 5_000, `it took ${Math.round(tookMs)} ms`)
    },
  },
  {
    name: 'after a timeout the whole process tree is dead',
    run: async (context) => {
      const { run } = await context.shared()
      const script = `sh -c 'sleep 91827 & sleep 91827' & (setsid sleep 91827 &) ; nohup sleep 91827 & sleep 91827`
      assert.deepEqual((await run(script, { timeoutMs: 700 })).outcome, { type: 'timed-out' })
      assert.equal(succeeded(await run(countProcesses('9182[7]'))).trim(), '0')
    },
  },
  {
    name: 'a command that ignores SIGTERM dies of a timeout as well',
    run: async (context) => {
      const { run } = await context.shared()
      const script = `trap '' TERM HUP INT; while :; do sleep 91828; done`
      assert.deepEqual((await run(script, { timeoutMs: 500 })).outcome, { type: 'timed-out' })
      assert.equal(succeeded(await run(countProcesses('9182[8]'))).trim(), '0')
    },
  },
  {
    name: 'a command that a signal ended is no timeout',
    run: async (context) => {
      const { run } = await context.shared()
      exitedWith(await run('kill -TERM $$; sleep 5'), 143)
      exitedWith(await run('exit 143'), 143)
      exitedWith(await run('exit 124'), 124)
      exitedWith(await run('kill -KILL $$; sleep 5'), 137)
    },
  },
  {
    name: 'a command that is stopped dies with what it started, and says so',
    run: async (context) => {
      const { run, runner, nextId } = await context.shared()
      const id = nextId()
      const running = runner.exec({ id, script: 'sleep 91829 & echo up; sleep 91829', timeoutMs: 60_000 })
      await eventually('the command runs', async () => succeeded(await run(countProcesses('9182[9]'))).trim() !== '0')
      await runner.stop({ scope: id.scope, id })
      assert.equal(succeeded(await run(countProcesses('9182[9]'))).trim(), '0')
      const { outcome, stdout } = await running
      assert.equal(outcome.type, 'signaled')
      assert.equal(textOf(stdout), 'up\n')
    },
  },
  {
    name: 'stopping one command leaves the others alone',
    run: async (context) => {
      const { run, runner, nextId } = await context.shared()
      const other = run('sleep 2; echo untouched')
      const id = nextId()
      const stopped = runner.exec({ id, script: 'sleep 91830', timeoutMs: 60_000 })
      await eventually('the command runs', async () => succeeded(await run(countProcesses('9183[0]'))).trim() !== '0')
      await runner.stop({ scope: id.scope, id })
      assert.equal((await stopped).outcome.type, 'signaled')
      assert.equal(succeeded(await other), 'untouched\n')
    },
  },
  {
    name: 'a command that runs out of memory fails and says why; the sandbox lives on',
    needs: needsMemory,
    run: async (context) => {
      const { run } = await context.open({ resources: { memoryMiB: 128 } })
      const result = await run('dd if=/dev/zero of=/dev/null bs=400M count=1')
      assert.equal(result.outcome.type, 'exited')
      assert.ok(result.outcome.type === 'exited' && result.outcome.code !== 0)
      assert.ok(result.outcome.type === 'exited' && result.outcome.oomKilled)
      assert.equal(succeeded(await run('echo alive')), 'alive\n')
    },
  },
]
