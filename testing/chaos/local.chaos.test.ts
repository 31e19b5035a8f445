import { DefaultLogger, Runtime } from '@temporalio/worker'
import { test } from 'vitest'
import { expectToSurvive } from './short-run.ts'

Runtime.install({ logger: new DefaultLogger('ERROR') })

test('ten rollouts on local under a fault every few seconds end as they do without', async () => {
  await expectToSurvive({ provider: 'local', seed: 11 })
})
