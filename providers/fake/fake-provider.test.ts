import { describeConformance } from '../conformance/describe-conformance.ts'
import { createFakeProvider } from './fake-provider.ts'
import { temporaryFolder } from '../../testing/temporary-folder.ts'

describeConformance('fake', {
  makeProvider: async () => createFakeProvider({ stateDirectory: await temporaryFolder('fake') }),
})
