import { resolve } from 'node:path'
import type { Command } from 'commander'
import { scheduleNamePattern } from '../../protocol/names.ts'
import type { RunOptions, Schedule, ScheduleOptions } from '../../client/index.ts'
import { AgentCollector } from '../agent-options.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import type { JobFile } from '../job-file.ts'
import { badOption, parseDurationMs, parseShare } from '../parse-values.ts'
import { addRunOptions, configOf, givenFlags, loadRun } from '../run-command.ts'
import type { RunFlags } from '../run-command.ts'
import type { CommandHost } from '../run-cli.ts'

interface CreateFlags extends RunFlags {
  readonly cron: string
  readonly timeZone?: string
  readonly baseline?: string
  readonly maxFailed?: string
  readonly notifyFile?: string
  readonly notifyUrl?: string
  readonly catchUp?: string
  readonly jitter?: string
  readonly workerPath?: boolean
}

/** Nightly benchmarks: a Temporal Schedule for each, which the Temporal UI shows and operates as well. */
export function defineSchedule(program: Command, host: CommandHost): void {
  const schedule = program
    .command('schedule')
    .description('Runs a taskset again and again, and compares each job with an earlier one.')
    .addHelpText('after', examples)
  defineSaving(schedule, host, {
    verb: 'create',
    description: 'Uploads a taskset and runs it whenever the cron expression says.',
  })
  defineSaving(schedule, host, {
    verb: 'update',
    description: 'Uploads the taskset anew and replaces every option of a schedule.',
  })
  defineLooking(schedule, host)
  defineOperating(schedule, host)
}

const examples = `
Examples:
  rollcall schedule create nightly tasks --cron '0 3 * * *' --time-zone Europe/Berlin --agent oracle -k 3
  rollcall schedule create gate tasks --cron @daily --baseline release-1 --fail-under 0.9 --notify-file /var/log/gate.jsonl
  rollcall schedule trigger nightly
  rollcall schedule show nightly
  rollcall history nightly
`

function defineSaving(
  schedule: Command,
  host: CommandHost,
  { verb, description }: { verb: 'create' | 'update'; description: string },
): void {
  const agents = new AgentCollector()
  const command = schedule
    .command(verb)
    .argument('<name>', 'name of the schedule: letters, digits, - and _')
    .argument('[taskset]', 'taskset, as for `rollcall run`')
    .description(description)
  addTimeOptions(command)
  addRunOptions(command, agents)
  command.action(async (name: string, taskset: string | undefined, all: CreateFlags) => {
    const flags = givenFlags(command, all)
    const config = await configOf({ taskset, flags, agents })
    const times = timesOf(name, config, flags)
    host.exitWith(await save({ verb, config, times }, host.context))
  })
}

function addTimeOptions(command: Command): void {
  command
    .requiredOption('--cron <expression>', 'five fields (minute hour day month weekday), @hourly, @daily or @weekly')
    .option('--time-zone <name>', 'IANA name, for instance Europe/Berlin (default UTC)')
    .option('--baseline <job>', 'last-good (the latest job that was comparable and not worse), or the id of a job')
    .option('--fail-under <mean>', 'say with the verdict when the mean is lower')
    .option('--max-failed <share>', 'more failed rollouts than this share make a job not comparable (default 0.1)')
    .option('--notify-file <file>', 'on the worker: append a line of JSON for each job')
    .option('--notify-url <url>', 'on the worker: post the verdict there; ${NAME} comes from the worker’s environment')
    .option('--catch-up <time>', 'make up for a start that the server missed, within this time (default 1h)')
    .option('--jitter <time>', 'put each start off by a random time up to this')
    .option('--worker-path', 'read the taskset on the worker at each start, instead of uploading it now')
}

/** Everything about a schedule that is not about its jobs. */
type ScheduleTimes = Omit<ScheduleOptions, keyof RunOptions>

function timesOf(name: string, { taskset, failUnder }: JobFile, flags: CreateFlags): ScheduleTimes {
  const { cron, timeZone, baseline, maxFailed, notifyFile, notifyUrl, catchUp, jitter, workerPath } = flags
  return {
    name,
    cron,
    ...(timeZone === undefined ? {} : { timeZone }),
    ...(baseline === undefined ? {} : { baseline }),
    ...(failUnder === undefined ? {} : { failUnder }),
    ...(maxFailed === undefined ? {} : { maxFailedShare: parseShare('--max-failed', maxFailed) }),
    ...(notifyFile === undefined ? {} : { notifyFile }),
    ...(notifyUrl === undefined ? {} : { notifyUrl }),
    ...(catchUp === undefined ? {} : { catchupWindowMs: parseDurationMs('--catch-up', catchUp) }),
    ...(jitter === undefined ? {} : { jitterMs: parseDurationMs('--jitter', jitter) }),
    ...(workerPath && typeof taskset === 'string' ? { workerPath: taskset } : {}),
  }
}

async function save(
  { verb, config, times }: { verb: 'create' | 'update'; config: JobFile; times: ScheduleTimes },
  context: CommandContext,
): Promise<number> {
  const { environment, stdout, stderr } = context
  const { taskset, options } = await loadRun(config, context)
  const { job: _, worker: __, ...run } = options
  const { Schedule: schedules } = await import('../../client/schedule.ts')
  const onProgress = (line: string) => stderr.write(`${line}\n`)
  const schedule = await schedules[verb](taskset, { ...run, ...times, environment, onProgress })
  try {
    const { next, timeZone } = await schedule.state()
    const when = next[0] === undefined ? 'It never comes due.' : `Next: ${next[0]} (${timeZone}).`
    stdout.write(`Schedule ${schedule.name} is ${verb}d. ${when}\n`)
    return exitCodes.ok
  } finally {
    await schedule.close()
  }
}

function defineLooking(schedule: Command, host: CommandHost): void {
  schedule
    .command('list')
    .option('--json', 'one JSON object per line')
    .description('Lists the schedules of this namespace.')
    .action(async (flags: { json?: boolean }) => {
      const { environment, stdout, stderr } = host.context
      const [{ Schedule: schedules }, { scheduleTable }] = await Promise.all([
        import('../../client/schedule.ts'),
        import('../schedule-view.ts'),
      ])
      const states = await schedules.list({ environment, onProgress: (line) => stderr.write(`${line}\n`) })
      stdout.write(flags.json ? states.map((state) => `${JSON.stringify(state)}\n`).join('') : scheduleTable(states))
    })
  schedule
    .command('show')
    .argument('<name>', 'name of the schedule')
    .option('--json', 'as one JSON object')
    .description('Shows when a schedule is due, what it runs, and what its last jobs came to.')
    .action(async (name: string, { json = false }: { json?: boolean }) => {
      await withSchedule(name, host.context, async (opened) => {
        const [state, history, untold] = await Promise.all([opened.state(), opened.history(), opened.untold()])
        const { showSchedule } = await import('../schedule-view.ts')
        const { stdout } = host.context
        stdout.write(json ? `${JSON.stringify({ ...state, history, untold })}\n` : showSchedule(state, history, untold))
      })
    })
}

function defineOperating(schedule: Command, host: CommandHost): void {
  const operations = [
    { verb: 'pause', says: 'starts nothing by itself until `resume`', run: (opened: Schedule) => opened.pause() },
    { verb: 'resume', says: 'starts jobs again when they are due', run: (opened: Schedule) => opened.resume() },
    { verb: 'delete', says: 'is gone; its jobs and its history stay', run: (opened: Schedule) => opened.delete() },
  ]
  for (const { verb, says, run } of operations) {
    schedule
      .command(verb)
      .argument('<name>', 'name of the schedule')
      .description(`The schedule ${says}.`)
      .action(async (name: string) => {
        await withSchedule(name, host.context, run)
        host.context.stdout.write(`Schedule ${name} ${says}.\n`)
      })
  }
  schedule
    .command('trigger')
    .argument('<name>', 'name of the schedule')
    .description('The schedule starts a job now, unless one of it runs.')
    .action(async (name: string) => {
      await withSchedule(name, host.context, (opened) => trigger(opened, host.context))
    })
  schedule
    .command('backfill')
    .argument('<name>', 'name of the schedule')
    .requiredOption('--from <time>', 'ISO 8601, for instance 2026-11-01T00:00:00Z')
    .requiredOption('--to <time>', 'ISO 8601')
    .description('Starts the jobs that were due between two times, one after another.')
    .action(async (name: string, flags: { from: string; to: string }) => {
      const range = { start: parseTime('--from', flags.from), end: parseTime('--to', flags.to) }
      if (range.start >= range.end) throw badOption('--to', flags.to, 'a time after --from')
      await withSchedule(name, host.context, (opened) => opened.backfill(range))
      host.context.stdout.write(`Schedule ${name} makes up for ${flags.from} to ${flags.to}, one job after another.\n`)
    })
}

async function trigger(opened: Schedule, { stdout, stderr }: CommandContext): Promise<void> {
  const { running, served } = await opened.state()
  await opened.trigger()
  const [job] = running
  stdout.write(
    job === undefined
      ? `Schedule ${opened.name} starts a job now.\n`
      : `Schedule ${opened.name} starts no job now, while ${job} runs.\n`,
  )
  if (served) return
  const { unserved } = await import('../schedule-view.ts')
  stderr.write(`${unserved}\n`)
}

/** What jobs of a schedule came to, from the store alone: also of one that is deleted. */
export function defineHistory(program: Command, host: CommandHost): void {
  program
    .command('history')
    .argument('<name>', 'name of a schedule')
    .option('--json', 'one JSON object per line, the earliest job first')
    .option('-o, --output <file>', 'also as one HTML file with the trend as a plot')
    .description('Shows what the jobs of a schedule came to, one after another.')
    .addHelpText('after', '\nExamples:\n  rollcall history nightly\n  rollcall history nightly -o nightly.html\n')
    .action(async (name: string, flags: HistoryFlags) => await history(name, flags, host.context))
}

interface HistoryFlags {
  readonly json?: boolean
  readonly output?: string
}

async function history(name: string, { json = false, output }: HistoryFlags, context: CommandContext): Promise<void> {
  if (!scheduleNamePattern.test(name)) throw badOption('Schedule', name, 'letters, digits, - and _, at most 60')
  const { environment, stdout, stderr } = context
  const [{ openStore }, { readVerdicts }, { historyTable }] = await Promise.all([
    import('../../store/open-store.ts'),
    import('../../results/schedule-history.ts'),
    import('../schedule-view.ts'),
  ])
  const verdicts = await readVerdicts(openStore(environment.storeUrl), name)
  if (verdicts.length === 0) stderr.write(`No job of a schedule named ${JSON.stringify(name)} has ended yet.\n`)
  stdout.write(json ? verdicts.map((one) => `${JSON.stringify(one)}\n`).join('') : historyTable(verdicts))
  if (output === undefined) return
  const [{ scheduleReport }, { writeOutput }] = await Promise.all([
    import('../../results/report/schedule-report.ts'),
    import('../write-output.ts'),
  ])
  await writeOutput('-o', resolve(output), scheduleReport(name, verdicts))
  stderr.write(`${resolve(output)}\n`)
}

function parseTime(option: string, value: string): Date {
  const time = new Date(value)
  if (/^\d{4}-\d\d-\d\d/.test(value) && !Number.isNaN(time.getTime())) return time
  throw badOption(option, value, 'a time in ISO 8601, for instance 2026-11-01T00:00:00Z')
}

async function withSchedule(
  name: string,
  { environment, stderr }: CommandContext,
  use: (schedule: Schedule) => Promise<void>,
): Promise<void> {
  const { Schedule: schedules } = await import('../../client/schedule.ts')
  const schedule = await schedules.open(name, { environment, onProgress: (line) => stderr.write(`${line}\n`) })
  try {
    await use(schedule)
  } finally {
    await schedule.close()
  }
}
