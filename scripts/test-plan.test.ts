import { expect, test } from 'vitest'
import { findTestFiles, needsOf, planTests, projectOf } from './test-plan.ts'

const ready = {
  temporal: undefined,
  docker: undefined,
  bubblewrap: undefined,
  s3: undefined,
  chromium: undefined,
  sshd: undefined,
}

test.each([
  ['store/file-store.test.ts', 'unit', []],
  ['client/connect.temporal.test.ts', 'temporal', ['temporal']],
  ['providers/docker/conformance.provider.test.ts', 'provider', ['docker']],
  ['providers/modal/conformance.provider.test.ts', 'provider', ['docker']],
  ['providers/local/conformance.provider.test.ts', 'provider', ['bubblewrap']],
  ['store/s3-store.provider.test.ts', 'provider', ['s3']],
  ['results/report/chromium.provider.test.ts', 'provider', ['chromium']],
  ['runner/shells.provider.test.ts', 'provider', ['docker', 'bubblewrap']],
  ['cli/run.e2e.test.ts', 'e2e', ['temporal', 'docker', 'bubblewrap']],
  ['cli/run-local.e2e.test.ts', 'e2e', ['temporal', 'bubblewrap']],
  ['testing/chaos/docker.chaos.test.ts', 'chaos', ['temporal', 'docker']],
  ['cli/run-s3.e2e.test.ts', 'e2e', ['temporal', 's3', 'bubblewrap']],
] as const)('%s is in project %s and needs %j', (file, project, needs) => {
  expect(projectOf(file)).toBe(project)
  expect(needsOf(file)).toEqual(needs)
})

test('tests of other projects are not part of npm test', async () => {
  expect(projectOf('deploy/job.postgres.test.ts')).toBeUndefined()
  expect(await findTestFiles(`${import.meta.dirname}/..`)).toContain('scripts/test-plan.test.ts')
})

test('a file is left out only when something it needs is missing, and the reason names it', () => {
  const files = ['store/file-store.test.ts', 'client/connect.temporal.test.ts', 'cli/run-docker.e2e.test.ts']
  expect(planTests(files, ready)).toEqual([])
  expect(planTests(files, { ...ready, docker: 'no Engine answers' })).toEqual([
    { file: 'cli/run-docker.e2e.test.ts', why: 'docker: no Engine answers' },
  ])
})
