import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkRunOptions } from './check-run-options.ts'
import { environmentOfProcess } from './environment.ts'
import { Taskset } from './taskset.ts'

const check = (run: object) => () => checkRunOptions(run)

test('options that are known pass, as do those that are explicitly absent', () => {
  expect(
    check({
      agent: ['oracle', { agent: 'model', model: 'openai/x', label: undefined }],
      provider: { name: 'local', options: { network: 'true' } },
      runtime: { resources: { cpus: 2 }, limits: { execTimeoutMs: 5 }, env: { ANYTHING: 'x' } },
      sandboxLoss: { policy: 'restart' },
      attemps: undefined,
    }),
  ).not.toThrow()
})

test.each<[object, string]>([
  [{ attemps: 3 }, 'attemps is 3: expected no such option; known here: agent, node, provider, tools, pool, attempts,'],
  [{ provider: { name: 'local', option: {} } }, 'provider.option is {}: expected no such option'],
  [{ runtime: { cpus: 2 } }, 'runtime.cpus is 2: expected no such key; known here: image, resources, limits,'],
  [{ runtime: { resources: { cpu: 2 } } }, 'runtime.resources.cpu is 2: expected no such key; known here: cpus,'],
  [{ runtime: { limits: { lifetime: 2 } } }, 'runtime.limits.lifetime is 2: expected no such key'],
  [{ sandboxLoss: { retries: 2 } }, 'sandboxLoss.retries is 2: expected no such option; known here: policy,'],
  [{ agent: { name: 'model' } }, 'agent is {"name":"model"}: expected a name such as "oracle"'],
  [{ agent: [7] }, 'agent is 7: expected a name'],
  [{ agent: { agent: 'nop', lable: 'x' } }, 'agent.lable is "x": expected no such option'],
])('%j is refused with what is known there', (run, sentence) => {
  expect(check(run)).toThrow(sentence)
})

test('all that is wrong is said at once', () => {
  expect(check({ attemps: 3, jobb: 'x' })).toThrow(/attemps is 3.*jobb is "x"/)
})

test('a job is not started with an option that nobody reads', async () => {
  const taskset = await Taskset.load(join(import.meta.dirname, '../examples/tasks/hello'))
  // Nothing can be written here: a job that began all the same would end with another sentence.
  const environment = environmentOfProcess({ ROLLCALL_STATE_DIR: '/dev/null' })
  const misspelled: object = { attemps: 3, environment }
  await expect(taskset.run(misspelled)).rejects.toThrow('attemps is 3')
})
