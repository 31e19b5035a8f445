import { Command, CommanderError } from 'commander'
import { escapeControls } from '../results/terminal-text.ts'
import { defineCancel } from './commands/cancel.ts'
import { defineCompare } from './commands/compare.ts'
import { defineDoctor } from './commands/doctor.ts'
import { defineNodes } from './commands/nodes.ts'
import { definePause, defineResume } from './commands/pause.ts'
import { definePool } from './commands/pool.ts'
import { defineRegrade } from './commands/regrade.ts'
import { defineReport } from './commands/report.ts'
import { defineRerun } from './commands/rerun.ts'
import { defineResults } from './commands/results.ts'
import { defineRun } from './commands/run.ts'
import { defineSandbox } from './commands/sandbox.ts'
import { defineHistory, defineSchedule } from './commands/schedule.ts'
import { defineServer } from './commands/server.ts'
import { defineShell } from './commands/shell.ts'
import { defineStatus } from './commands/status.ts'
import { defineSweep } from './commands/sweep.ts'
import { defineValidate } from './commands/validate.ts'
import { defineWatch } from './commands/watch.ts'
import { defineWhy } from './commands/why.ts'
import { defineWorker } from './commands/worker.ts'
import type { CommandContext } from './context.ts'
import { describeError } from './describe-error.ts'
import { exitCodes } from './exit-codes.ts'
import { rollcallVersion } from './version.ts'

/** Adds one command to the program. Its action sets the exit code when it is not 0. */
export type DefineCommand = (program: Command, host: CommandHost) => void

export interface CommandHost {
  readonly context: CommandContext
  exitWith(code: number): void
}

const commands: readonly DefineCommand[] = [
  defineRun,
  defineStatus,
  defineWatch,
  defineResults,
  defineReport,
  defineCompare,
  defineRerun,
  defineRegrade,
  defineCancel,
  definePause,
  defineResume,
  defineWhy,
  defineShell,
  defineSweep,
  defineValidate,
  defineDoctor,
  defineNodes,
  defineSchedule,
  defineHistory,
  definePool,
  defineSandbox,
  defineWorker,
  defineServer,
]

/** Runs one command line and answers with the exit code; never throws. */
export async function runCli(args: readonly string[], context: CommandContext): Promise<number> {
  let exitCode: number = exitCodes.ok
  const program = newProgram(context)
  const host = { context, exitWith: (code: number) => void (exitCode = code) }
  for (const define of commands) define(program, host)
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    // Commander has printed its own message already.
    if (error instanceof CommanderError) return isHelp(error) ? exitCodes.ok : exitCodes.usage
    const described = describeError(error, { debug: Boolean(context.environment.env['ROLLCALL_DEBUG']) })
    // Names and text of tasks stand in it; its own line ends are wanted.
    for (const line of described.message.split('\n')) context.stderr.write(`${escapeControls(line)}\n`)
    return described.exitCode
  }
}

/** `--help` and `--version`; `rollcall` alone shows the help too, but has not done anything. */
function isHelp(error: CommanderError): boolean {
  return error.code === 'commander.helpDisplayed' || error.code === 'commander.version'
}

function newProgram({ stdout, stderr }: CommandContext): Command {
  return new Command('rollcall')
    .description('Runs agent tasks as durable rollouts: every one ends exactly once, whatever dies meanwhile.')
    .version(rollcallVersion)
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ sortOptions: false, showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => write(oneSentence(text)),
      getOutHelpWidth: () => stdout.size().columns,
      getErrHelpWidth: () => stderr.size().columns,
      getOutHasColors: () => stdout.color,
      getErrHasColors: () => stderr.color,
    })
    .addHelpText('after', examples)
}

/** Commander's `error: unknown option '--agnt'` and its suggestion as a sentence that says what to do. */
function oneSentence(text: string): string {
  const message = text
    .trim()
    .replace(/^error: /, '')
    .replace(/\.$/, '')
    .replaceAll('\n', ' ')
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}: see rollcall --help, or rollcall COMMAND --help\n`
}

const examples = `
Examples:
  rollcall run examples/tasks --provider local           grades of the bundled tasks, in bubblewrap sandboxes
  rollcall run tasks -k 3 -n 8 --agent oracle            three attempts each, eight at a time, in Docker
  rollcall watch JOB                                     comes back to a job
  rollcall why JOB.TASK.AGENT.1                          what a rollout waits for, or what ended it
  rollcall doctor                                        what is here, what is missing, what to do

Exit codes: 0 all graded, 1 some rollouts failed, 2 bad input (nothing was started), 130 cancelled or left, 70 a bug.
`
