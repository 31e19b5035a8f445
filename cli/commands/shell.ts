import { hostname, userInfo } from 'node:os'
import type { Command } from 'commander'
import { RollcallError } from '../../protocol/failure.ts'
import type { Provider, ShellUser } from '../../providers/contract/provider.ts'
import type { FoundRollout } from '../../results/find-rollout.ts'
import type { StoredVisit } from '../../store/records.ts'
import type { Store } from '../../store/store.ts'
import type { CommandContext } from '../context.ts'
import type { CommandHost } from '../run-cli.ts'

interface ShellFlags {
  readonly command?: string
  readonly user?: string
}

export function defineShell(program: Command, host: CommandHost): void {
  program
    .command('shell')
    .argument('<rollout>', 'JOB.TASK.AGENT.ATTEMPT, or the beginning or end of it that no other has')
    .option('--command <script>', 'run this with sh instead, and answer with its exit code')
    .option('--user <name>', 'default: the user of the agent’s commands')
    .description('Opens a shell in the sandbox of a rollout, on the host where it is; also in one that was kept.')
    .addHelpText('after', help)
    .action(async (rollout: string, flags: ShellFlags) => host.exitWith(await shell(rollout, flags, host.context)))
}

const help = `
Examples:
  rollcall shell nightly-7.hello.oracle.1
  rollcall shell hello.oracle.1 --user root
  rollcall shell nightly-7.hello --command 'ps -ef; ls -l /app'

The rollout goes on. That you were there is kept as evidence: no grade that comes later is claimed to be better than
"live". What you leave running ends with the sandbox.
`

async function shell(text: string, flags: ShellFlags, context: CommandContext): Promise<number> {
  const { environment, stderr } = context
  const [{ openStore }, { findRollout }, { createProviders }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/find-rollout.ts'),
    import('../../workers/providers.ts'),
  ])
  const store = openStore(environment.storeUrl)
  const found = await findRollout(store, text)
  const providers = createProviders(environment)
  try {
    const { provider, name, incarnation } = await livingSandbox(found, store, providers)
    if (provider.shell === undefined) throw noWayIn(provider)
    await recordVisit({ store, found, incarnation, flags, nowMs: context.now() })
    stderr.write(`In sandbox ${name} of ${found.job}.${found.rollout}: its grade will not be called clean.\n`)
    return await provider.shell(name, shellUser(flags, context))
  } finally {
    await providers.close()
  }
}

/** @throws RollcallError a sentence that says why there is none to enter */
async function livingSandbox(
  found: FoundRollout,
  store: Store,
  providers: { provider(name: string, options: Readonly<Record<string, string>>): Promise<Provider> },
) {
  const [{ readLatestOpening }, { readJobOptions }] = await Promise.all([
    import('../../results/find-rollout.ts'),
    import('../../results/read-job.ts'),
  ])
  const id = `${found.job}.${found.rollout}`
  const opening = await readLatestOpening(store, found)
  if (opening === undefined) throw refused(id, `has no sandbox yet: rollcall why ${id} says what it waits for`)
  const { lease } = opening.opened
  const options = await readJobOptions(store, found.job)
  const provider = await providers.provider(lease.provider, lease.options ?? options.provider.options)
  if ((await provider.place()) !== lease.place) {
    throw refused(id, `has its sandbox at ${lease.provider} ${lease.place}: run rollcall shell on that host`)
  }
  const sandbox = await provider.find(lease.sandbox)
  if (sandbox?.state === 'running') return { provider, name: lease.sandbox, incarnation: lease.incarnation }
  const fate = sandbox === undefined ? 'has been removed' : `has died (${sandbox.reason ?? 'unknown'})`
  throw refused(id, `had the sandbox ${lease.sandbox}, which ${fate}; --keep leaves sandboxes for a look inside`)
}

function refused(id: string, why: string): RollcallError {
  return new RollcallError('configuration-invalid', `Rollout ${id} ${why}`)
}

function noWayIn({ name }: Provider): RollcallError {
  const remedy = 'use the provider’s own console, or run the task with --provider docker or local'
  return new RollcallError('configuration-invalid', `Provider ${name} lets nobody into its sandboxes: ${remedy}`)
}

/** Stored before the shell is there: a grade that does not know of the visit cannot have been touched by it. */
async function recordVisit(at: {
  store: Store
  found: FoundRollout
  incarnation: number
  flags: ShellFlags
  nowMs: number
}): Promise<void> {
  const { store, found, incarnation, flags, nowMs } = at
  const { enteredPrefix } = await import('../../store/keys.ts')
  const visit: StoredVisit = {
    who: `${userName()}@${hostname()}`,
    at: new Date(nowMs).toISOString(),
    ...(flags.command === undefined ? {} : { command: flags.command }),
  }
  const key = `${enteredPrefix({ ...found, incarnation })}${nowMs}-${process.pid}.json`
  await store.putOnce(key, Buffer.from(JSON.stringify(visit)))
}

/** A user id need not have a name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? 'unknown')
  }
}

function shellUser(flags: ShellFlags, { stdin, stdout, stderr, environment }: CommandContext): ShellUser {
  return {
    stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    isTerminal: stdin.isTTY && stdout.isTTY,
    terminalType: environment.env['TERM'] ?? 'xterm',
    ...flags,
  }
}
