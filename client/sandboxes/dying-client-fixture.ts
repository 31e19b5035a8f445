import { z } from 'zod'
import { environmentOfProcess } from '../environment.ts'
import { Sandboxes } from '../entry-sandboxes.ts'

/**
 * A client that is killed by its test: `dying-client-fixture.ts PROVIDER HOLDER COMMAND IMAGE-MAP`. It acquires a slot, says its id,
 * runs the command under the request id `long`, and never ends by itself.
 */
const [provider = '', holder = '', command = '', imageMap = '{}'] = process.argv.slice(2)
const sandboxes = await Sandboxes.start({
  provider,
  imageMap: z.record(z.string(), z.string()).parse(JSON.parse(imageMap)),
  profiles: { one: { maxSandboxes: 1 } },
  pool: `dying-${provider}`,
  leaseMs: 2_000,
  environment: environmentOfProcess(),
})
const slot = await sandboxes.acquire(holder, { profile: 'one' })
process.stdout.write(`${JSON.stringify({ id: slot.id })}\n`)
const [outcome] = await sandboxes.executeBatch([{ slot, tool: 'bash', args: { command }, id: 'long' }])
process.stdout.write(`${JSON.stringify({ output: outcome?.output })}\n`)
setInterval(() => {}, 60_000)
