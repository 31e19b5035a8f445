import { join } from 'node:path'
import { temporaryFolder } from '../../testing/temporary-folder.ts'
import { describeConformance } from '../conformance/describe-conformance.ts'
import { createSshProvider } from './ssh-provider.ts'
import { startSshd } from './sshd-fixture.ts'

describeConformance('ssh', {
  makeProvider: async () => {
    const folder = await temporaryFolder('ssh')
    const { target } = await startSshd(folder)
    return createSshProvider({ target, workspace: join(folder, 'nodes') })
  },
})
