import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import type { CommandHost } from '../run-cli.ts'

export function defineServer(program: Command, host: CommandHost): void {
  const server = program
    .command('server')
    .description('The embedded Temporal server, which jobs use when TEMPORAL_ADDRESS names no other.')
    .addHelpText('after', '\nExamples:\n  rollcall server start\n  rollcall server status\n')
  const add = (name: string, description: string, act: (context: CommandContext) => Promise<number>) =>
    server
      .command(name)
      .description(description)
      .addHelpText('after', `\nExample:\n  rollcall server ${name}\n`)
      .action(async () => host.exitWith(await act(host.context)))
  add('start', 'Starts it unless it runs. `run` does this by itself.', start)
  add('stop', 'Stops it. Jobs go on when it is started again.', stop)
  add('status', 'Says whether it runs, and where.', status)
}

async function start({ environment, stdout, stderr }: CommandContext): Promise<number> {
  const { ensureServer } = await import('../../client/server/server.ts')
  const server = await ensureServer({ ...environment, onProgress: (line) => stderr.write(`${line}\n`) })
  const what = server.startedByUs ? 'Started' : 'Already running'
  stdout.write(`${what}: Temporal at ${server.address}, UI ${server.uiUrl}, process ${server.pid}\n`)
  return exitCodes.ok
}

async function stop({ environment, stdout, stderr }: CommandContext): Promise<number> {
  const { stopServer } = await import('../../client/server/server.ts')
  const stopped = await stopServer({ ...environment, onProgress: (line) => stderr.write(`${line}\n`) })
  stdout.write(stopped.state === 'stopped' ? `Stopped process ${stopped.pid}.\n` : 'It was not running.\n')
  return exitCodes.ok
}

async function status({ environment, stdout }: CommandContext): Promise<number> {
  const { serverStatus } = await import('../../client/server/server.ts')
  const server = await serverStatus(environment)
  if (server.state === 'never-started') {
    stdout.write('It has not been started yet: rollcall server start.\n')
    return exitCodes.failed
  }
  const size = `${(server.databaseBytes / 2 ** 20).toFixed(1)} MiB`
  stdout.write(
    `${server.state}: Temporal ${server.serverVersion} at ${server.address}, UI ${server.uiUrl}, process ${server.pid}\n` +
      `database ${server.databaseFile} (${size}), log ${server.logFile}\n`,
  )
  return server.state === 'running' ? exitCodes.ok : exitCodes.failed
}
