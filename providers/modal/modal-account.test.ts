import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ModalAccount } from './modal-account.ts'
import { modalSettings } from './modal-settings.ts'

const manifestSchema = z.object({ version: z.string(), repository: z.object({ url: z.string() }) })

test('the package named modal is Modal’s own, in the version that was tried', async () => {
  const path = join(createRequire(import.meta.url).resolve('modal'), '../../package.json')
  const manifest = manifestSchema.parse(JSON.parse(await readFile(path, 'utf8')))
  expect(manifest.version).toBe('0.11.1')
  expect(manifest.repository.url).toContain('modal-labs/')
})

test('an account is opened without reaching anything', async () => {
  const account = await ModalAccount.open(modalSettings({}, { MODAL_TOKEN_ID: 'a', MODAL_TOKEN_SECRET: 'b' }))
  expect(account.client.profile).toMatchObject({ tokenId: 'a', tokenSecret: 'b', maxThrottleWaitSecs: 10 })
  account.close()
})
