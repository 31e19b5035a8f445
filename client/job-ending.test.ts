import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { planFailureKey } from '../store/keys.ts'
import { putJsonOnce } from '../store/stored-json.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { forgottenJob } from './job-ending.ts'

test('a job that was refused says so also when Temporal has forgotten it; any other one is lost', async () => {
  const store = createFileStore(join(await temporaryFolder('forgotten'), 'store'))
  await putJsonOnce(store, planFailureKey('refused'), { code: 'task-invalid', message: 'Task a has no solution' })
  expect(await forgottenJob(store, 'refused')).toMatchObject({
    code: 'task-invalid',
    message: 'Task a has no solution',
  })
  expect(await forgottenJob(store, 'lost')).toMatchObject({ code: 'job-lost' })
})
