import assert from 'node:assert/strict'
import type { ConformanceCase } from './conformance-case.ts'
import { codeOf, eventually, failsWith, succeeded, textOf } from './expectations.ts'

/** What the death of a connection, of a worker or of the sandbox means for commands. */
export const recoveryCases: readonly ConformanceCase[] = [
  {
    name: 'the same exec id sent twice runs once, and both get the answer',
    run: async (context) => {
      const { run, runner, nextId } = await context.shared()
      const id = nextId()
      const request = { id, script: 'echo x >>/tmp/twice; sleep 0.3; wc -l </tmp/twice', timeoutMs: 30_000 }
      const results = await Promise.all([runner.exec(request), runner.exec(request)])
      results.push(await runner.exec(request))
      assert.deepEqual(
        results.map((result) => succeeded(result).trim()),
        ['1', '1', '1'],
      )
      assert.equal(succeeded(await run('wc -l </tmp/twice')).trim(), '1')
    },
  },
  {
    name: 'a command goes on when its connection is cut, and its answer still comes',
    run: async (context) => {
      const { run, cut } = await context.open()
      const answer = run('echo x >>/tmp/cut; until [ -e /tmp/cut-go ]; do sleep 0.05; done; echo "$(cat /tmp/cut)"')
      await eventually('the command runs', async () => succeeded(await run('cat /tmp/cut 2>/dev/null || :')) === 'x\n')
      cut()
      succeeded(await run('touch /tmp/cut-go'))
      assert.equal(succeeded(await answer), 'x\n')
    },
  },
  {
    name: 'a command whose worker is gone is picked up by another worker under the same id',
    run: async (context) => {
      const { run, runner, nextId, attach } = await context.open()
      const id = nextId()
      const request = { id, script: 'echo x >>/tmp/once; sleep 1; wc -l </tmp/once', timeoutMs: 30_000 }
      const abandoned = runner.exec(request).catch(() => undefined)
      const successor = attach()
      const look = (script: string) => successor.exec({ id: nextId(), script, timeoutMs: 30_000 })
      await eventually('the command runs', async () => succeeded(await look('ls /tmp')).includes('once'))
      runner.close()
      assert.equal(succeeded(await successor.exec(request)).trim(), '1')
      await abandoned
      await failsToRun(run)
    },
  },
  {
    name: 'aborting only detaches: the command runs on, and its answer can be fetched',
    run: async (context) => {
      const { run, runner, nextId } = await context.shared()
      const id = nextId()
      const leaving = new AbortController()
      const request = { id, script: 'touch /tmp/detached; sleep 0.5; echo finished', timeoutMs: 30_000 }
      const left = runner.exec(request, { signal: leaving.signal })
      await eventually('the command runs', async () => succeeded(await run('ls /tmp')).includes('detached'))
      leaving.abort(new Error('detached'))
      await assert.rejects(left, /detached/)
      assert.equal(succeeded(await runner.exec(request)), 'finished\n')
    },
  },
  {
    name: 'an answer that is not acknowledged can be fetched again, with its output',
    run: async (context) => {
      const { runner, nextId, attach } = await context.shared()
      const request = { id: nextId(), script: 'echo out; echo err >&2; exit 4', timeoutMs: 30_000 }
      const first = await runner.exec(request)
      const successor = attach()
      const second = await successor.exec(request)
      successor.close()
      assert.deepEqual(second.outcome, { type: 'exited', code: 4 })
      assert.deepEqual([textOf(second.stdout), textOf(second.stderr)], ['out\n', 'err\n'])
      assert.deepEqual(second, first)
    },
  },
  {
    name: 'what lies below the acknowledged mark is answered as acknowledged, never run again',
    run: async (context) => {
      const { run, runner } = await context.shared()
      const scope = 'acknowledged'
      const request = (batch: number) => ({
        id: { scope, phase: 1, batch, call: 0, part: 0 },
        script: `echo ${batch} >>/tmp/acknowledged`,
        timeoutMs: 30_000,
      })
      succeeded(await runner.exec(request(0)))
      runner.acknowledge({ scope, phase: 1, batch: 1 })
      succeeded(await runner.exec(request(1)))
      assert.deepEqual((await runner.exec(request(0))).outcome, { type: 'lost', reason: 'acknowledged' })
      assert.equal(succeeded(await run('cat /tmp/acknowledged')), '0\n1\n')
    },
  },
  {
    name: 'a command whose sandbox is destroyed fails as lost, and so does the next one',
    run: async (context) => {
      const { run, sandbox } = await context.open()
      const running = run('touch /tmp/started; sleep 60')
      await eventually('the command runs', async () => succeeded(await run('ls /tmp')).includes('started'))
      const ended = running.then((result) => result.outcome.type, codeOf)
      await context.provider.destroy(sandbox.name)
      assert.equal(await ended, 'sandbox-lost')
      await failsWith('sandbox-lost', run('true'))
    },
  },
]

async function failsToRun(run: (script: string) => Promise<unknown>): Promise<void> {
  await assert.rejects(run('true'), 'a closed runner must not run anything')
}
