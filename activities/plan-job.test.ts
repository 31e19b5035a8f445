import { expect, test } from 'vitest'
import { createNopAgent } from '../agents/nop.ts'
import { readPlan, readStoredPlan } from '../results/read-job.ts'
import { planFailureKey, planKey, proofKey } from '../store/keys.ts'
import { getJson } from '../store/stored-json.ts'
import { jobOfOneTask } from './activities-fixture.ts'
import { planJob } from './plan-job.ts'

type Job = Awaited<ReturnType<typeof jobOfOneTask>>

async function plan(job: Job, firstCount = 10) {
  const { store } = job.context
  await store.putOnce(proofKey('j'), Buffer.from('proof'))
  return await planJob({ job: 'j', storeUrl: store.url, proofKey: proofKey('j'), firstCount }, job)
}

const agents = ['one', 'two'].map((label) => ({ kind: 'oracle' as const, label, args: {} }))

test('every task is played by every agent once before any is played twice', async () => {
  const job = await jobOfOneTask({ options: { attempts: 2, agents }, agent: createNopAgent() })
  const { total, first } = await plan(job, 3)
  expect(total).toBe(4)
  expect(first.map(({ name }) => name)).toEqual(['a-task.one.1', 'a-task.two.1', 'a-task.one.2'])
  expect((await readPlan(job.context.store, 'j'))?.length).toBe(4)
})

test('planned twice, the first plan counts', async () => {
  const job = await jobOfOneTask({ agent: createNopAgent() })
  const first = await plan(job)
  const again = await jobOfOneTask({ options: { attempts: 3 }, agent: createNopAgent() })
  const stored = await job.context.store.get(planKey('j'))
  await again.context.store.putOnce(planKey('j'), stored ?? Buffer.of())
  expect(await plan(again)).toEqual(first)
})

test('a worker with another store than the client’s says so', async () => {
  const { context, services } = await jobOfOneTask()
  const input = { job: 'j', storeUrl: context.store.url, proofKey: proofKey('j'), firstCount: 1 }
  await expect(planJob(input, { context, services })).rejects.toMatchObject({ code: 'store-not-shared' })
})

test('all that the agent and the provider cannot do is told at once, and nothing is planned', async () => {
  const job = await jobOfOneTask({
    files: { 'task.toml': 'schema_version = "1.4"\n[environment]\ncpus = 2\nmemory_mb = 512\n' },
  })
  const planning = plan(job)
  await expect(planning).rejects.toMatchObject({ code: 'runtime-unsupported' })
  await expect(planning).rejects.toThrow(/solution\/solve\.sh[^]*a-task: resources\.cpus[^]*a-task: resources\.memory/)
  expect(await job.context.store.get(planKey('j'))).toBeUndefined()
  // Temporal forgets in a day why there is no plan.
  expect(await getJson(job.context.store, planFailureKey('j'))).toMatchObject({ code: 'runtime-unsupported' })
})

test('a secret that the worker does not have is named before anything starts', async () => {
  const options = { runtime: { secrets: ['HAVE', 'LACK'] } }
  const job = await jobOfOneTask({ options, agent: createNopAgent(), secrets: { HAVE: 'it' } })
  await expect(plan(job)).rejects.toMatchObject({
    code: 'secret-missing',
    message: expect.stringContaining('Variable LACK is not') as string,
  })
})

test('a judge whose model has no key in the worker’s environment fails the plan', async () => {
  const judge = '{ model: openai/a-judge, criteria: [{ name: correct, description: It is. }] }'
  const job = await jobOfOneTask({ files: { 'rollcall.yaml': `judge: ${judge}\n` }, agent: createNopAgent() })
  await expect(plan(job)).rejects.toMatchObject({
    code: 'secret-missing',
    message: expect.stringContaining('OPENAI_API_KEY') as string,
  })
})

test('limits that cannot all hold are told for every task before anything starts, one sentence each', async () => {
  const runtime = { limits: { lifetimeMs: 60_000, execTimeoutMs: 100_000, idleTimeoutMs: 5 } }
  const toml = 'schema_version = "1.4"\n[agent]\ntimeout_sec = 90\n[verifier]\ntimeout_sec = 10\n'
  const job = await jobOfOneTask({
    files: { 'task.toml': toml },
    options: { runtime, gradingAttempts: 2 },
    agent: createNopAgent(),
  })
  const planning = plan(job)
  await expect(planning).rejects.toMatchObject({ code: 'configuration-invalid' })
  await expect(planning).rejects.toThrow(
    'task a-task: limits.lifetimeMs is 60000: at least 110000, since the agent may take 90000 ms and grading 20000 ms',
  )
  await expect(planning).rejects.toThrow('limits.execTimeoutMs is 100000: at most 90000')
  await expect(planning).rejects.toThrow('limits.idleTimeoutMs is 5: nothing: this provider ends no idle sandboxes')
})

test('a default limit gives way to a task that is shorter', async () => {
  const files = { 'task.toml': 'schema_version = "1.4"\n[agent]\ntimeout_sec = 5\n' }
  await expect(plan(await jobOfOneTask({ files, agent: createNopAgent() }))).resolves.toMatchObject({ total: 1 })
})

test('a variable of the host is asked for with consent alone, and is there before anything starts', async () => {
  const files = { 'task.toml': 'schema_version = "1.4"\n[verifier.env]\nKEY = "${TOKEN}"\nOTHER = "${NONE:-x}"\n' }
  const agent = createNopAgent()
  const refused = await jobOfOneTask({ files, agent, secrets: { TOKEN: 'value' } })
  await expect(plan(refused)).rejects.toThrow('Nobody allowed TOKEN, NONE')
  const options = { allowEnv: ['NONE', 'TOKEN'] }
  await expect(plan(await jobOfOneTask({ files, agent, options }))).rejects.toThrow('Variable TOKEN is not')
  await expect(plan(await jobOfOneTask({ files, agent, options, secrets: { TOKEN: 'v' } }))).resolves.toBeDefined()
})

test('a job of some rollouts plans those alone, in the order of all, and refuses one that it does not have', async () => {
  const rollouts = ['a-task.two.2', 'a-task.one.1']
  const job = await jobOfOneTask({ options: { attempts: 2, agents, rollouts }, agent: createNopAgent() })
  expect((await plan(job)).first.map(({ name }) => name)).toEqual(['a-task.one.1', 'a-task.two.2'])
  const wrong = await jobOfOneTask({ options: { agents, rollouts: ['a-task.one.2'] }, agent: createNopAgent() })
  await expect(plan(wrong)).rejects.toThrow('The job has no rollouts a-task.one.2')
})

test('the plan keeps the tags of tasks, which results are grouped by', async () => {
  const toml = 'schema_version = "1.4"\n[task]\nkeywords = ["k"]\n[metadata]\ntags = ["t"]\ncategory = "c"\n'
  const job = await jobOfOneTask({ files: { 'task.toml': toml }, agent: createNopAgent() })
  await plan(job)
  expect((await readStoredPlan(job.context.store, 'j'))?.tags).toEqual({ 'a-task': ['t', 'k', 'category:c'] })
})
