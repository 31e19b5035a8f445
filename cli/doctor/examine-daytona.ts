import type { ClientEnvironment } from '../../client/index.ts'
import { DaytonaAccount } from '../../providers/daytona/daytona-account.ts'
import { daytonaAccess } from '../../providers/daytona/daytona-settings.ts'
import { reasonOf } from './findings.ts'
import type { Finding } from './findings.ts'

/** Whether the organisation of the environment's key answers; makes nothing there. */
export async function examineDaytona({ env }: ClientEnvironment): Promise<Finding[]> {
  const [name, provider] = ['Daytona', 'daytona'] as const
  if (env['DAYTONA_API_KEY'] === undefined) {
    const remedy = 'set DAYTONA_API_KEY to use it'
    return [{ name, provider, state: 'note', detail: 'no key: --provider daytona needs an account', remedy }]
  }
  try {
    const account = new DaytonaAccount(daytonaAccess({}, env))
    await account.open()
    const place = await account.place()
    await account.close()
    return [{ name, provider, state: 'ok', detail: `${place} answers to the key in DAYTONA_API_KEY` }]
  } catch (error) {
    const remedy = 'check DAYTONA_API_KEY, DAYTONA_API_URL and the way there'
    return [{ name, provider, state: 'note', detail: `cannot be used: ${reasonOf(error)}`, remedy }]
  }
}
