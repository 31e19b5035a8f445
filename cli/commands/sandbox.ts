import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { PassThrough, type Writable } from 'node:stream'
import type { Command } from 'commander'
import type { ArchiveFormat, ArtifactEntry, ArtifactFailure, Sandboxes, Slot, ToolOutcome } from '../../client/index.ts'
import { RollcallError } from '../../protocol/failure.ts'
import { escapeControls } from '../../results/terminal-text.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseChoice, parseCount, parseDurationMs } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { holds, withSandboxes, withSlot, type SlotFlags } from '../slot-access.ts'
import { statusLines } from './pool.ts'

/** Sandboxes without a taskset: a slot for a holder, commands in it, files in and out. */
export function defineSandbox(program: Command, host: CommandHost): void {
  const sandbox = program
    .command('sandbox')
    .description('Sandboxes without a taskset: slots of pools, commands in them, files in and out.')
    .addHelpText('after', examples)
  defineHolding(sandbox, host)
  defineWorking(sandbox, host)
  defineFiles(sandbox, host)
}

const examples = `
Examples:
  rollcall sandbox acquire me --profiles profiles.yaml --lease 1h
  rollcall sandbox put me data.csv input/data.csv
  rollcall sandbox exec me 'wc -l input/data.csv'
  rollcall sandbox get me report.html report.html
  rollcall sandbox get me results results.zip --format zip
  rollcall sandbox release me --reset

Every command that uses a slot prolongs its lease. One that has run out gives the slot to whoever waits.
`

/** What all of them take. */
function withHolder(parent: Command, name: string, description: string): Command {
  return addPoolOptions(parent.command(name).argument('<holder>', 'who holds the slot, by any name')).description(
    description,
  )
}

function addPoolOptions(command: Command): Command {
  return command
    .option('--profile <name>', 'default default')
    .option('--pool-name <name>', 'keeps pools of the same profile apart (default default)')
    .option(
      '--profiles <file>',
      'profiles in YAML (default: ROLLCALL_PROFILES_FILE, Atropos’ variables, the running pool)',
    )
    .option('--provider <name>', 'for profiles that name none (default docker)')
    .option('--lease <time>', 'how long the slot stays the holder’s without being used (default 15m)')
}

function defineHolding(sandbox: Command, host: CommandHost): void {
  withHolder(
    sandbox,
    'acquire',
    'Waits for a slot; whoever has one gets the same one again. Starts the pool if need be.',
  )
    .option('--timeout <time>', 'how long to wait (default: the profile’s)')
    .option('--json', 'the lease as JSON')
    .action(async (holder: string, flags: SlotFlags & { timeout?: string; json?: boolean }) => {
      const { timeout } = flags
      const limit = timeout === undefined ? {} : { timeoutMs: parseDurationMs('--timeout', timeout) }
      await withSlot({ holder, flags, context: host.context, isNew: true, ...limit }, async (_sandboxes, slot) => {
        host.context.stdout.write(flags.json === true ? `${JSON.stringify(slot.lease)}\n` : describeSlot(slot))
      })
    })
  withHolder(sandbox, 'release', 'Gives a slot back. Twice is fine.')
    .option('--reset', 'its files go at once; else they stay for this holder until somebody else needs the slot')
    .action(async (holder: string, flags: SlotFlags & { reset?: boolean }) => {
      await withSandboxes({ flags, context: host.context }, async (sandboxes, profile) => {
        const slot = (await holds(sandboxes, { holder, profile })) && (await sandboxes.acquire(holder, { profile }))
        const answer = slot && (await sandboxes.release(slot, { resetWorkspace: flags.reset ?? false }))
        host.context.stdout.write(`${escapeControls(holder)}: ${answer || 'not-held'}\n`)
      })
    })
  addPoolOptions(sandbox.command('status'))
    .description('Shows the pool of a profile: its sandboxes, slots and queue.')
    .option('--json', 'as JSON')
    .action(async (flags: SlotFlags & { json?: boolean }) => {
      await withSandboxes({ flags, context: host.context }, async (sandboxes, profile) => {
        const status = (await sandboxes.status())[profile]
        if (status === undefined) return
        host.context.stdout.write(
          flags.json === true ? `${JSON.stringify(status)}\n` : `${statusLines(status).join('\n')}\n`,
        )
      })
    })
}

function describeSlot({ holder, lease, workspace, hasFiles }: Slot): string {
  const until = lease.expiresAtMs === undefined ? '' : ` until ${new Date(lease.expiresAtMs).toISOString()}`
  const kept = hasFiles ? ', with the files of its last lease' : ''
  return `${escapeControls(holder)} has ${workspace} in ${lease.sandbox}${until}${kept}\n`
}

interface ExecFlags extends SlotFlags {
  readonly timeout?: string
  readonly id?: string
  readonly json?: boolean
}

function defineWorking(sandbox: Command, host: CommandHost): void {
  withHolder(
    sandbox,
    'exec',
    'Runs a command in the slot, with bash where there is one, and answers with its exit code.',
  )
    .argument('<command>', 'one argument, as for sh -c')
    .option('--timeout <time>', 'the command is killed after this time (default: the profile’s)')
    .option('--id <id>', 'the same id attaches to the same command while the lease lives, instead of running it again')
    .option('--json', 'the outcome as JSON')
    .action(async (holder: string, command: string, flags: ExecFlags) => {
      await withSlot({ holder, flags, context: host.context }, async (sandboxes, slot) => {
        const { timeout, id } = flags
        const request = {
          slot,
          tool: 'bash',
          args: { command },
          ...(timeout === undefined ? {} : { timeoutMs: parseDurationMs('--timeout', timeout) }),
          ...(id === undefined ? {} : { id }),
        }
        const [outcome] = await sandboxes.executeBatch([request])
        if (outcome !== undefined) host.exitWith(printOutcome(outcome, flags, host.context))
      })
    })
}

/** @returns the command's exit code; 1 where it has none */
function printOutcome(outcome: ToolOutcome, { json }: ExecFlags, { stdout, stderr }: CommandContext): number {
  const { slot: _, stdout: out, stderr: err, failure, exitCode, ...rest } = outcome
  if (json === true) {
    const code = exitCode === undefined ? {} : { exitCode }
    stdout.write(`${JSON.stringify({ ...rest, ...code, ...(failure === undefined ? {} : { failure }) })}\n`)
    return exitCode ?? exitCodes.failed
  }
  if (failure !== undefined) throw new RollcallError(failure.code, failure.message)
  for (const [stream, output] of [
    [stdout.stream, out],
    [stderr.stream, err],
  ] as const) {
    if (output === undefined) continue
    stream.write(output.head)
    if (output.truncated)
      stream.write(`\n[… ${output.bytes - output.head.length - output.tail.length} bytes left out …]\n`)
    stream.write(output.tail)
  }
  if (outcome.outcome !== 'exited') stderr.write(`${outcome.output.slice(outcome.output.lastIndexOf('['))}\n`)
  return exitCode ?? exitCodes.failed
}

interface GetFlags extends SlotFlags {
  readonly format?: string
  readonly maxBytes?: string
}

interface ListFlags extends SlotFlags {
  readonly recursive?: boolean
  readonly maxEntries?: string
  readonly json?: boolean
}

const formats: readonly ArchiveFormat[] = ['tar', 'tar.gz', 'zip']

function defineFiles(sandbox: Command, host: CommandHost): void {
  withHolder(sandbox, 'put', 'Writes a file into the slot, whole or not at all.')
    .argument('<from>', 'a file here, - for standard input')
    .argument('<to>', 'a path in the workspace')
    .action(async (...[holder, from, to, flags]: [string, string, string, SlotFlags]) => {
      await withSlot({ holder, flags, context: host.context }, async (sandboxes, slot) => {
        await put({ sandboxes, slot, from, to }, host.context)
      })
    })
  withHolder(sandbox, 'get', 'Brings a file out of the slot or, with --format, a directory as an archive.')
    .argument('<from>', 'a path in the workspace')
    .argument('<to>', 'a file here, - for standard output')
    .option('--format <format>', `an archive: ${formats.join(', ')}`)
    .option('--max-bytes <bytes>', 'more is an error (default: any size)')
    .action(async (...[holder, from, to, flags]: [string, string, string, GetFlags]) => {
      await withSlot({ holder, flags, context: host.context }, async (sandboxes, slot) => {
        await get({ sandboxes, slot, from, to, flags }, host.context)
      })
    })
  withHolder(sandbox, 'list', 'Lists a directory of the slot.')
    .argument('[path]', 'a path in the workspace', '.')
    .option('--recursive', 'everything below it')
    .option('--max-entries <n>', 'default 5000')
    .option('--json', 'one JSON object per line')
    .action(async (holder: string, path: string, flags: ListFlags) => {
      await withSlot({ holder, flags, context: host.context }, async (sandboxes, slot) => {
        await list({ sandboxes, slot, path, flags }, host.context)
      })
    })
}

interface At {
  readonly sandboxes: Sandboxes
  readonly slot: Slot
}

async function put(at: At & { from: string; to: string }, context: CommandContext): Promise<void> {
  const { sandboxes, slot, from, to } = at
  const { workingDirectory } = context.environment
  const content = from === '-' ? await buffer(context.stdin) : await readFile(resolve(workingDirectory, from))
  const mode = from === '-' ? {} : { mode: ((await stat(resolve(workingDirectory, from))).mode & 0o777).toString(8) }
  const written = await sandboxes.writeArtifact(slot, { path: to, content }, mode)
  if (!written.ok) throw refused(written)
  context.stdout.write(`${escapeControls(to)}: ${written.bytes} bytes, sha256 ${written.sha256}\n`)
}

async function get(at: At & { from: string; to: string; flags: GetFlags }, context: CommandContext): Promise<void> {
  const { sandboxes, slot, from, to, flags } = at
  const format = flags.format === undefined ? undefined : parseChoice('--format', flags.format, formats)
  const limit = flags.maxBytes === undefined ? {} : { maxBytes: parseCount('--max-bytes', flags.maxBytes, { min: 0 }) }
  const part = to === '-' ? undefined : `${resolve(context.environment.workingDirectory, to)}.part`
  const sink = part === undefined ? unended(context.stdout.stream) : await writing(part)
  try {
    const got =
      format === undefined
        ? await sandboxes.readArtifact(slot, from, { ...limit, to: sink })
        : await sandboxes.archiveArtifacts(slot, from, { ...limit, format, to: sink })
    report(at, got, context)
    if (part !== undefined) await rename(part, part.slice(0, -'.part'.length))
  } finally {
    if (part !== undefined) await rm(part, { force: true })
  }
}

/** Opened before anybody writes: an error of a stream that nobody listens to would end the process. */
async function writing(path: string): Promise<Writable> {
  try {
    return (await open(path, 'w')).createWriteStream()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new RollcallError('configuration-invalid', `${path} cannot be written: ${reason}`, { cause: error })
  }
}

/** @throws RollcallError when there is nothing whole to keep */
function report(
  { from, to }: { from: string; to: string },
  got: Awaited<ReturnType<Sandboxes['readArtifact']>> | Awaited<ReturnType<Sandboxes['archiveArtifacts']>>,
  context: CommandContext,
): void {
  if (!got.ok) throw refused(got)
  if ('truncated' in got && got.truncated) {
    throw new RollcallError('configuration-invalid', `${from} has more bytes than --max-bytes allows`)
  }
  if ('complete' in got && !got.complete) context.stderr.write(`Not all of it is there: ${escapeControls(got.notes)}\n`)
  context.stderr.write(`${escapeControls(to)}: ${got.bytes} bytes, sha256 ${got.sha256}\n`)
}

/** Standard output stays open for whatever else is said. */
function unended(stream: Writable): Writable {
  const through = new PassThrough()
  through.pipe(stream, { end: false })
  return through
}

async function list(at: At & { path: string; flags: ListFlags }, { stdout, stderr }: CommandContext): Promise<void> {
  const { sandboxes, slot, path, flags } = at
  const most = flags.maxEntries === undefined ? {} : { maxEntries: parseCount('--max-entries', flags.maxEntries) }
  const listed = await sandboxes.listArtifacts(slot, path, { recursive: flags.recursive ?? false, ...most })
  if (!listed.ok) throw refused(listed)
  for (const entry of listed.entries) stdout.write(flags.json === true ? `${JSON.stringify(entry)}\n` : lineOf(entry))
  if (listed.truncated) stderr.write('There are more: --max-entries shows them.\n')
  if (!listed.complete) stderr.write('Some of it could not be looked at.\n')
}

const marks: Readonly<Record<ArtifactEntry['type'], string>> = { file: '', directory: '/', link: '@', other: '=' }

function lineOf({ path, type, sizeBytes, mode }: ArtifactEntry): string {
  const permissions = mode.toString(8).padStart(4, '0')
  return `${permissions} ${String(sizeBytes).padStart(12)} ${escapeControls(path)}${marks[type]}\n`
}

function refused({ message }: ArtifactFailure): RollcallError {
  return new RollcallError('configuration-invalid', message)
}
