import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { loadHarborTask } from '../tasks/harbor-task.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import { agentTask, partFolder } from './agent-task.ts'
import { agentUser, verifierSpec, verifierUser } from './part-spec.ts'
import { partOf } from '../tasks/task-parts.ts'

async function twoSteps(toml = '') {
  const loaded = await loadHarborTask(
    await writeTask({
      'task.toml': `${toml}\n[[steps]]\nname = "one"\n[[steps]]\nname = "two"\n[steps.agent]\nuser = "other"\n`,
      'steps/one/instruction.md': 'First.\n',
      'steps/two/instruction.md': 'Second.\n',
      'steps/two/solution/solve.sh': '#!/bin/bash\necho two\n',
      'solution/solve.sh': '#!/bin/bash\necho never\n',
      'solution/helper.sh': 'x',
    }),
  )
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  return loaded.task
}

test('an agent sees the files of its step in the place of the task’s', async () => {
  const task = await twoSteps()
  const second = agentTask(task, { workdir: '/app', step: 1 })
  expect(second).toMatchObject({ step: 'two', instruction: 'Second.\n', workdir: '/app' })
  expect(await second.readText('solution/solve.sh')).toContain('echo two')
  expect(second.files).toContain('solution/solve.sh')
  expect(second.files).not.toContain('solution/helper.sh')
  expect(partFolder(task, 1, 'solution')).toBe('steps/two/solution')
  expect(agentTask(task, { workdir: '/app', step: 0 }).files).not.toContain('solution/solve.sh')
})

test('skills are where the task says, from the working directory', async () => {
  const at = async (path: string) =>
    agentTask(await twoSteps(`[environment]\nskills_dir = "${path}"`), { workdir: '/app', step: 0 }).skillsDirectory
  expect(await at('skills')).toBe('/app/skills')
  expect(await at('/harbor/skills')).toBe('/harbor/skills')
})

test('the job’s user goes before a step’s, a step’s before the task’s', async () => {
  const task = await twoSteps('[agent]\nuser = "worker"')
  const user = (step: number, options = jobOptions()) =>
    agentUser({ part: partOf(task, step), spec: { user: options.runtime.user ?? 'worker' }, options })
  expect([user(0), user(1)]).toEqual(['worker', 'other'])
  expect(user(1, jobOptions({ runtime: { user: 'job' } }))).toBe('job')
  expect(verifierUser(partOf(task, 0))).toBe('root')
})

test('a separate verifier’s sandbox is ordered by its own environment, without the agent’s user and mounts', async () => {
  const loaded = await loadHarborTask(
    await writeTask({
      'task.toml': `[agent]\nuser = "worker"\n[environment]\ncpus = 4\n[verifier.environment]\nmemory_mb = 64\ndocker_image = "v"`,
    }),
  )
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  const runtime = { user: 'job', mounts: [{ source: '/a', target: '/a', readOnly: false }], resources: { cpus: 1 } }
  const spec = verifierSpec({ task: loaded.task, part: partOf(loaded.task), options: jobOptions({ runtime }) })
  expect(spec).toMatchObject({ image: { type: 'name', name: 'v' }, resources: { memoryMiB: 64, cpus: 1 }, mounts: [] })
  expect(spec).not.toHaveProperty('user')
})
