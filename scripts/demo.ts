/**
 * `npm run demo`: runs the bundled examples with `oracle` in local sandboxes, as `rollcall run` does it, on the
 * embedded Temporal server. Needs no keys and no Docker. Arguments go to `rollcall run`: `npm run demo -- -k 2`.
 */
import { join } from 'node:path'
import { exitCodes } from '../cli/exit-codes.ts'
import { processContext } from '../cli/process-context.ts'
import { runCli } from '../cli/run-cli.ts'
import { provisionBubblewrap } from '../providers/local/provision-bubblewrap.ts'

const examples = join(import.meta.dirname, '..', 'examples', 'tasks')
const asked = process.argv.slice(2)

if (asked.includes('--unsafe-local') || (await provisionBubblewrap((line) => console.error(line)))) {
  const args = ['run', examples, '--provider', 'local', '--agent', 'oracle', ...asked]
  process.exit(await runCli(args, processContext(process)))
}
console.error('Then start the demo again, or go without its protection: npm run demo -- --unsafe-local')
process.exit(exitCodes.usage)
