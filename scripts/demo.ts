/**
 * `npm run demo`: runs the bundled examples with `oracle` in local sandboxes, as `rollcall run` does it, on the
 * embedded Temporal server. Needs no keys and no Docker. Arguments go to `rollcall run`: `npm run demo -- -k 2`.
 */
import { join } from 'node:path'
import { processContext } from '../cli/process-context.ts'
import { runCli } from '../cli/run-cli.ts'
import { bubblewrapAdvice, provisionBubblewrap } from '../providers/local/provision-bubblewrap.ts'

const examples = join(import.meta.dirname, '..', 'examples', 'tasks')
const bubblewrapMissing = 2

if (await provisionBubblewrap((line) => console.error(line))) {
  const args = ['run', examples, '--provider', 'local', '--agent', 'oracle', ...process.argv.slice(2)]
  process.exit(await runCli(args, processContext(process)))
} else {
  console.error(`The demo needs ${bubblewrapAdvice('ENOENT')}: npm run demo -- --unsafe-local`)
  process.exit(bubblewrapMissing)
}
