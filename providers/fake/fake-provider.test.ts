import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeConformance } from '../conformance/describe-conformance.ts'
import { createFakeProvider } from './fake-provider.ts'

describeConformance('fake', {
  makeProvider: async () => createFakeProvider({ stateDirectory: await mkdtemp(join(tmpdir(), 'rollcall-fake-')) }),
})
