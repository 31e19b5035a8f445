import { afterAll, beforeAll } from 'vitest'
import { S3Server } from './fixtures/s3-server.ts'
import { createS3Store } from './s3-store.ts'
import { parseS3Url } from './s3-url.ts'
import { describeStoreContract } from './store-contract.ts'

let server: S3Server
let stores = 0

beforeAll(async () => {
  server = await S3Server.start()
})

afterAll(() => server.remove())

const emptyStore = async () => createS3Store(parseS3Url(server.url(`stores/${(stores += 1)}`)), server.credentials)

describeStoreContract('s3', emptyStore)
