import { expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import type { RuntimeConfig } from '../protocol/runtime-config.ts'
import { loadTask } from '../tasks/load-task.ts'
import { partOf } from '../tasks/task-parts.ts'
import { writeTask } from '../tasks/task-fixture.ts'
import { agentUser, verifierSpec } from './part-spec.ts'

test('the job’s user works in every part; without one the step’s own, else the sandbox’s', () => {
  const userOf = (step: string | undefined, job?: string) =>
    agentUser({
      part: { agent: step === undefined ? {} : { user: step } },
      spec: { user: job ?? 'sandbox' },
      options: jobOptions({ runtime: job === undefined ? {} : { user: job } }),
    })
  expect(userOf('step', 'job')).toBe('job')
  expect(userOf('step')).toBe('step')
  expect(userOf(undefined)).toBe('sandbox')
})

test('a separate verifier’s sandbox takes the job’s overrides, but none that is about the agent', async () => {
  const directory = await writeTask({
    'task.toml': 'schema_version = "1.4"\n[verifier]\nenvironment_mode = "separate"\n',
    'tests/Dockerfile': 'FROM debian:12\n',
    'rollcall.yaml': 'runtime: { env: { OWN: own }, mounts: [{ source: /a, target: /a, readOnly: true }] }\n',
  })
  const loaded = await loadTask(directory)
  if (!('task' in loaded)) throw new Error(JSON.stringify(loaded.problems))
  const { task } = loaded
  const runtime: RuntimeConfig = {
    image: 'mine',
    user: 'me',
    workdir: '/mine',
    mounts: [{ source: '/m', target: '/m', readOnly: true }],
    env: { JOB: 'job' },
    resources: { cpus: 3 },
  }
  const spec = verifierSpec({ task, part: partOf(task), options: jobOptions({ runtime }) })
  expect(spec).toMatchObject({ image: { type: 'dockerfile' }, env: { JOB: 'job' }, resources: { cpus: 3 }, mounts: [] })
  expect(spec?.env).not.toHaveProperty('OWN')
  expect(spec).not.toHaveProperty('user')
  expect(spec).not.toHaveProperty('workdir')
})
