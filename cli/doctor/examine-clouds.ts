import { setTimeout as delay } from 'node:timers/promises'
import type { ClientEnvironment } from '../../client/index.ts'
import { ModalAccount } from '../../providers/modal/modal-account.ts'
import { modalSettings } from '../../providers/modal/modal-settings.ts'
import { reasonOf } from './findings.ts'
import type { Finding } from './findings.ts'

const answerTimeoutMs = 15_000

/** Whether the account of the environment's token answers; makes nothing there. */
export async function examineModal({ env }: ClientEnvironment): Promise<Finding[]> {
  const [name, provider] = ['Modal', 'modal'] as const
  if (env['MODAL_TOKEN_ID'] === undefined && env['MODAL_TOKEN_SECRET'] === undefined) {
    const remedy = 'set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET (`modal token new`) to use it'
    return [{ name, provider, state: 'note', detail: 'no token: --provider modal needs an account', remedy }]
  }
  try {
    const account = await ModalAccount.open(modalSettings({}, env))
    await answered(account.assertUsable())
    account.close()
    return [{ name, provider, state: 'ok', detail: 'the account answers to the token in MODAL_TOKEN_ID' }]
  } catch (error) {
    const remedy = 'check MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, and that api.modal.com can be reached'
    return [{ name, provider, state: 'note', detail: `cannot be used: ${reasonOf(error)}`, remedy }]
  }
}

async function answered(work: Promise<void>): Promise<void> {
  const over = new AbortController()
  const late = delay(answerTimeoutMs, undefined, { signal: over.signal }).then(() => {
    throw new Error(`no answer within ${answerTimeoutMs} ms`)
  })
  late.catch(() => {})
  work.catch(() => {})
  try {
    await Promise.race([work, late])
  } finally {
    over.abort()
  }
}
