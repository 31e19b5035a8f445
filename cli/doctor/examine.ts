import process from 'node:process'
import type { ClientEnvironment } from '../../client/index.ts'
import { examineDisk, examineStore } from './examine-disk.ts'
import { examineModal } from './examine-clouds.ts'
import { examineDocker, examineLocal } from './examine-providers.ts'
import { examineTemporal } from './examine-temporal.ts'
import type { Finding } from './findings.ts'

/** Looks at everything that jobs need; starts and changes nothing. */
export async function examine(environment: ClientEnvironment): Promise<Finding[]> {
  const examined = await Promise.all([
    examineTemporal(environment),
    examineStore(environment),
    examineDisk(environment),
    examineLocal(environment),
    examineDocker(environment),
    examineModal(environment),
  ])
  return [{ name: 'Node', state: 'ok', detail: process.version }, ...examined.flat()]
}
