import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFileStore } from './file-store.ts'
import { describeStoreContract } from './store-contract.ts'

describeStoreContract('file', async () => createFileStore(await mkdtemp(join(tmpdir(), 'rollcall-store-'))))
