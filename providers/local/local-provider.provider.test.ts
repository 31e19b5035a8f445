import { describeConformance } from '../conformance/describe-conformance.ts'
import { createLocalProvider } from './local-provider.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'

describeConformance('local', {
  makeProvider: async () => createLocalProvider({ stateDirectory: await temporaryFolder('local') }),
})

describeConformance('local --unsafe-local', {
  makeProvider: async () => createLocalProvider({ stateDirectory: await temporaryFolder('unsafe'), unsafe: true }),
})
