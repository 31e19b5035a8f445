import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeConformance } from '../conformance/describe-conformance.ts'
import { createLocalProvider } from './local-provider.ts'

describeConformance('local', {
  makeProvider: async () => createLocalProvider({ stateDirectory: await mkdtemp(join(tmpdir(), 'rollcall-local-')) }),
})

describeConformance('local --unsafe-local', {
  makeProvider: async () =>
    createLocalProvider({ stateDirectory: await mkdtemp(join(tmpdir(), 'rollcall-unsafe-')), unsafe: true }),
})
