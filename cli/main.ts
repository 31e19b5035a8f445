#!/usr/bin/env node
import module from 'node:module'
import { join } from 'node:path'
import process from 'node:process'

/**
 * Start of the `rollcall` command, and the only place here that reads the process's environment and arguments. It
 * imports nothing but Node until the version is known to be new enough, so that an old Node gives a sentence.
 */

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(`Rollcall needs Node 22.18 or later, and this is ${process.version}: install a newer Node.\n`)
  process.exit(2)
}

const { cacheDirectory } = await import('../protocol/directories.ts')
module.enableCompileCache(join(cacheDirectory(process.env), 'compiled'))
const { runCli } = await import('./run-cli.ts')
const { processContext, watchOutput } = await import('./process-context.ts')

const outputFailure = watchOutput(process.stdout)
const exitCode = await runCli(process.argv.slice(2), processContext(process))
const failure = await outputFailure()
if (failure !== undefined) process.stderr.write(`What was printed is not whole: ${failure.message}\n`)
// Not process.exitCode: open connections and timers of a command that is done must not hold the process.
process.exit(failure === undefined ? exitCode : exitCode || 2)
