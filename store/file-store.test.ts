import { createFileStore } from './file-store.ts'
import { describeStoreContract } from './store-contract.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'

describeStoreContract('file', async () => createFileStore(await temporaryFolder('store')))
