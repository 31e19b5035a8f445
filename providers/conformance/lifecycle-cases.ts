import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { specHash } from '../contract/spec-hash.ts'
import type { CapabilityNeed, ConformanceCase } from './conformance-case.ts'
import { codeOf, eventually, failsWith, succeeded } from './expectations.ts'

const needsNoNetwork: CapabilityNeed = {
  isMet: (capabilities) => capabilities.networkModes.includes('none'),
  order: { network: { mode: 'none' } },
  field: 'network',
}

/** Creating, finding, adopting and removing. */
export const lifecycleCases: readonly ConformanceCase[] = [
  {
    name: 'the place is named and stays the same',
    run: async ({ provider }) => {
      const place = await provider.place()
      assert.ok(place.length > 0)
      assert.equal(await provider.place(), place)
    },
  },
  {
    name: 'an order that can be honoured has no problems',
    run: async ({ provider, makeSpec }) => {
      assert.deepEqual(await provider.check(makeSpec()), [])
    },
  },
  {
    name: 'every field that cannot be honoured is refused by name, with value and expectation, all at once',
    run: async ({ provider, makeSpec }) => {
      const resources = { cpus: 1_000_000, gpus: { count: 1_000, types: ['no-such-gpu'] } }
      const problems = await provider.check(makeSpec({ resources, workdir: 'not/absolute' }))
      const fields = problems.map((problem) => problem.field)
      for (const field of ['cpus', 'gpus', 'workdir'])
        assert.ok(
          fields.some((name) => name.includes(field)),
          `${field} is not refused`,
        )
      for (const problem of problems)
        assert.ok(problem.value && problem.expected, `${problem.field} lacks value or expectation`)
    },
  },
  {
    name: 'creating twice gives one sandbox',
    run: async ({ provider, makeRequest }) => {
      const request = makeRequest()
      const first = await provider.createOrAdopt(request)
      const second = await provider.createOrAdopt(request)
      assert.deepEqual(second, first)
      assert.equal((await provider.list({ owner: request.ownership.owner })).length, 1)
    },
  },
  {
    name: 'creating at the same time from several places gives one sandbox',
    run: async ({ provider, makeRequest }) => {
      const request = makeRequest()
      // All are awaited before any is judged, so that none creates after the case was cleaned up.
      const attempts = await Promise.allSettled([1, 2, 3].map(() => provider.createOrAdopt(request)))
      const sandboxes = attempts.map((attempt) => {
        if (attempt.status === 'rejected') throw attempt.reason
        return attempt.value
      })
      assert.equal(new Set(sandboxes.map((sandbox) => sandbox.id)).size, 1)
      assert.equal((await provider.list({ owner: request.ownership.owner })).length, 1)
    },
  },
  {
    name: 'a sandbox is found with its owner, running, under its name',
    run: async ({ provider, makeRequest }) => {
      const request = makeRequest()
      const sandbox = await provider.createOrAdopt(request)
      assert.equal(sandbox.name, request.name)
      const { createdMs = 0, ...found } = (await provider.find(request.name)) ?? {}
      assert.deepEqual(found, { ...sandbox, state: 'running', ownership: request.ownership })
      assert.ok(Math.abs(Date.now() - createdMs) < 60_000, `it says that it was made at ${createdMs}`)
      assert.equal(await provider.find(`${request.name}-other`), undefined)
    },
  },
  {
    name: 'a sandbox of another owner is not adopted; both owners are named',
    run: async ({ provider, makeRequest, makeOwnership }) => {
      const request = makeRequest()
      const sandbox = await provider.createOrAdopt(request)
      const stranger = makeOwnership(request.spec, { owner: randomUUID() })
      const message = await failsWith('sandbox-conflict', provider.createOrAdopt({ ...request, ownership: stranger }))
      assert.ok(message.includes(request.ownership.owner) && message.includes(stranger.owner), message)
      assert.equal((await provider.find(request.name))?.id, sandbox.id)
    },
  },
  {
    name: 'a sandbox from another specification is not adopted',
    run: async ({ provider, makeRequest }) => {
      const request = makeRequest()
      await provider.createOrAdopt(request)
      const spec = { ...request.spec, env: { ...request.spec.env, CONFORMANCE_OTHER: '1' } }
      const ownership = { ...request.ownership, spec: specHash(spec) }
      await failsWith('sandbox-conflict', provider.createOrAdopt({ ...request, spec, ownership }))
    },
  },
  {
    name: 'sandboxes are listed by each of their labels, and by several together',
    run: async ({ provider, makeRequest, makeOwnership }) => {
      const requests = ['main', 'verifier'].map((role) => {
        const request = makeRequest()
        const job = `conformance-${randomUUID().slice(0, 8)}`
        const ownership = makeOwnership(request.spec, {
          job,
          role: role === 'main' ? 'main' : 'verifier',
          incarnation: 2,
        })
        return { ...request, ownership }
      })
      await Promise.all(requests.map((request) => provider.createOrAdopt(request)))
      const [first, second] = requests
      assert.ok(first && second)
      const namesBy = async (labels: Parameters<typeof provider.list>[0]) =>
        (await provider.list(labels)).map((sandbox) => sandbox.name).toSorted()
      for (const key of ['job', 'workflow', 'owner'] as const) {
        assert.ok((await namesBy({ [key]: first.ownership[key] })).includes(first.name))
      }
      assert.deepEqual(await namesBy({ job: first.ownership.job }), [first.name])
      assert.deepEqual(await namesBy({ job: second.ownership.job, role: 'verifier', incarnation: 2 }), [second.name])
      assert.deepEqual(await namesBy({ job: first.ownership.job, role: 'verifier' }), [])
    },
  },
  {
    name: 'destroying removes it for certain, twice is fine, and so is one that never was',
    run: async (context) => {
      const { provider } = context
      const { sandbox, request } = await context.open()
      await provider.destroy(sandbox.name)
      assert.equal(await provider.find(sandbox.name), undefined)
      assert.deepEqual(await provider.list({ owner: request.ownership.owner }), [])
      await failsWith('sandbox-lost', provider.connect(sandbox.name))
      await provider.destroy(sandbox.name)
      await provider.destroy(context.uniqueName())
    },
  },
  {
    name: 'destroying at the same time from several places is fine',
    run: async (context) => {
      const { sandbox } = await context.open()
      await Promise.all([1, 2, 3].map(() => context.provider.destroy(sandbox.name)))
      assert.equal(await context.provider.find(sandbox.name), undefined)
    },
  },
  {
    name: 'a name can be used again after its sandbox is destroyed, and nothing of it is left',
    run: async (context) => {
      const { provider } = context
      const { sandbox, request, run } = await context.open()
      succeeded(await run('echo x >/tmp/left-behind'))
      await provider.destroy(sandbox.name)
      const again = await context.openRequest(request)
      assert.equal(again.sandbox.name, sandbox.name)
      succeeded(await again.run('test ! -e /tmp/left-behind'))
      assert.equal((await provider.list({ owner: request.ownership.owner })).length, 1)
    },
  },
  {
    name: 'a sandbox dies by itself at the end of its lifetime, with all that runs in it',
    run: async (context) => {
      const { provider } = context
      const limits = { ...context.makeSpec().limits, lifetimeMs: 2_000 }
      const { sandbox, request, run } = await context.open({ limits })
      const cutShort = run('sleep 60').then((result) => result.outcome.type, codeOf)
      await eventually('the sandbox is dead', async () => (await provider.find(sandbox.name))?.state !== 'running')
      const end = await cutShort
      assert.ok(end === 'signaled' || end === 'sandbox-lost', `the command ended as ${end}`)
      await failsWith('sandbox-lost', provider.connect(sandbox.name))
      const found = await provider.find(sandbox.name)
      if (found === undefined) return
      assert.equal(found.reason, 'lifetime')
      await failsWith('sandbox-lost', provider.createOrAdopt(request))
    },
  },
  {
    name: 'without network there is no interface but loopback',
    needs: needsNoNetwork,
    run: async (context) => {
      const { run } = await context.shared()
      const interfaces = succeeded(await run(`sed -n 's/^ *\\([^:]*\\):.*/\\1/p' /proc/net/dev`))
      assert.deepEqual(
        interfaces
          .split('\n')
          .filter(
            (name) =>
              !/^(|lo|tunl0|sit0|ip6tnl0|gre0|gretap0|erspan0|ip_vti0|ip6_vti0|ip6gre0|dummy0|ifb[01])$/.test(name),
          ),
        [],
      )
    },
  },
  {
    name: 'two sandboxes do not see each other’s files and processes',
    run: async (context) => {
      const one = await context.open()
      const other = await context.shared()
      succeeded(await one.run('echo x >/tmp/mine; mkdir -p /app; echo x >/app/mine; sleep 93847 >/dev/null 2>&1 &'))
      assert.equal(succeeded(await other.run('ls /tmp/mine /app/mine 2>/dev/null || :')), '')
      assert.equal(succeeded(await other.run("grep -l '9384[7]' /proc/[0-9]*/cmdline 2>/dev/null | wc -l")).trim(), '0')
    },
  },
]
