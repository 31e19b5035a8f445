/**
 * `npm run test:postgres`: proves the shape of docker-compose.temporal.yml without its images: Debian's PostgreSQL, the
 * server of the pinned version built from its Go module (six minutes the first time), the compose file's environment,
 * dynamic configuration and scripts, and a job with two `rollcall worker` processes. Not part of `npm test`.
 */
import { join } from 'node:path'
import { execa } from 'execa'
import { ensurePostgresInstalled } from './postgres.ts'
import { provision } from './provision.ts'

const root = join(import.meta.dirname, '..')
const say = (line: string) => console.log(`test:postgres: ${line}`)

await ensurePostgresInstalled(say)
await provision()
const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const args = [vitest, 'run', '--project', 'postgres', ...process.argv.slice(2)]
const { exitCode } = await execa(process.execPath, args, { cwd: root, stdio: 'inherit', reject: false })
process.exitCode = exitCode ?? 1
