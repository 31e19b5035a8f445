/** A worker for tests: `node worker-fixture.ts STATE_DIRECTORY SANDBOX SCRIPT`. Runs one command and prints its stdout. */
import { runnerOf } from '../host-sandbox/sandbox-fixture.ts'
import { createLocalProvider } from './local-provider.ts'

const [stateDirectory = '', name = '', script = ''] = process.argv.slice(2)
const runner = runnerOf(createLocalProvider({ stateDirectory }), name)
const id = { scope: 'worker', phase: 0, batch: 0, call: 0, part: 0 }
const { outcome, stdout } = await runner.exec({ id, script, timeoutMs: 60_000 })
process.stdout.write(JSON.stringify({ outcome, stdout: stdout.head.toString() }))
runner.close()
