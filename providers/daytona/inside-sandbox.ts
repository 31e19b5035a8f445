import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { attachArgv, supervisorArgv, type RunnerPlaces } from '../../runner/scripts.ts'
import type { CreateRequest } from '../contract/provider.ts'
import type { DaytonaSandbox } from './daytona-sdk.ts'

/** Everything of Rollcall in a sandbox lies here; the scripts in inside/ name it as well. */
export const insideDirectory = '/.rollcall'

const places: RunnerPlaces = { journalDir: `${insideDirectory}/journal`, outputDir: `${insideDirectory}/output` }

/** One command of Daytona's may take this long, in seconds; starting the runner takes ten at the most. */
const answerTimeoutS = 30

/** How it stands inside. */
export type InsideState =
  | { readonly state: 'alive'; readonly workdir: string }
  /** The runner's main process has ended: at the end of the lifetime with code 0. */
  | { readonly state: 'ended'; readonly code: number }
  /** It was started and is gone, or does not come up. */
  | { readonly state: 'begun' }
  /** Nothing of Rollcall is there. */
  | { readonly state: 'empty' }

/** Asks the sandbox; changes nothing. */
export async function askInside(sandbox: DaytonaSandbox): Promise<InsideState> {
  const status = `${insideDirectory}/bin/status.sh`
  return await run(
    sandbox,
    `if [ -e ${status} ]; then sh ${status}; elif [ -e ${insideDirectory}/claimed ]; then echo rollcall begun; fi`,
  )
}

/**
 * Puts the runner into the sandbox and starts it, once however many ask: the claim is a directory inside.
 * The secrets go into a file that only root can read, and from there into the environment of everything.
 */
export async function boot(sandbox: DaytonaSandbox, request: CreateRequest, secrets: string): Promise<InsideState> {
  const directory = `${insideDirectory}/new-${randomUUID()}`
  const files = { ...programs, secrets }
  await sandbox.fs.uploadFiles(
    Object.entries(files).map(([name, text]) => ({ source: Buffer.from(text), destination: `${directory}/${name}` })),
    60,
  )
  const { limits, user = '', workdir = '' } = request.spec
  const lifetime = String(Math.ceil(limits.lifetimeMs / 10))
  const words = [`${directory}/boot.sh`, directory, lifetime, user, workdir]
  return await run(sandbox, `sh ${words.map(quoted).join(' ')}`)
}

/** What to type into a terminal of the sandbox for an attachment. */
export function attachLine(token: string): string {
  return `stty -echo; exec sh ${insideDirectory}/bin/line.sh ${token}\n`
}

/** Daytona gives the text to a shell's standard input, from which every child would take its share. */
async function run(sandbox: DaytonaSandbox, command: string): Promise<InsideState> {
  const { result } = await sandbox.process.executeCommand(
    `{ ${command}\n} </dev/null`,
    undefined,
    undefined,
    answerTimeoutS,
  )
  return readState(result)
}

function readState(text: string): InsideState {
  const [, state, word = ''] = /^rollcall (alive|ended|begun) ?(.*)$/m.exec(text) ?? []
  switch (state) {
    case 'alive':
      return { state, workdir: word }
    case 'ended':
      return { state, code: Number(word) }
    case 'begun':
      return { state }
  }
  if (text.trim() === '') return { state: 'empty' }
  throw new Error(`the sandbox answered ${JSON.stringify(text.slice(-500))}`)
}

export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

const script = (name: string): string => readFileSync(new URL(`inside/${name}`, import.meta.url), 'utf8')

/** Text of a runner's program, which argv holds after `sh -c`. */
const text = (argv: readonly string[]): string => argv[2] ?? ''

const programs: Readonly<Record<string, string>> = {
  'boot.sh': script('boot.sh'),
  'main.sh': script('main.sh'),
  'line.sh': script('line.sh'),
  'status.sh': script('status.sh'),
  supervisor: text(supervisorArgv({ ...places, lifetimeMs: 0 })),
  attach: text(attachArgv({ ...places, workdir: '/' })),
}
