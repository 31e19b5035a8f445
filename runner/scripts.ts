import { readFileSync } from 'node:fs'

/** The two POSIX sh programs that run inside a sandbox, as argv for a provider to start: journal.sh is in both. */

export interface RunnerPlaces {
  /** Small, best on tmpfs: claims and exit records. Made (0700) if absent. */
  readonly journalDir: string
  /** On disk: output and input files of commands. Made (0700) if absent. */
  readonly outputDir: string
}

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')

/** Comments stay out: the text is an argument of every attachment. */
const compact = (script: string): string => script.replaceAll(/^ *#.*\n/gm, '').replaceAll(/^ +/gm, '')

const journal = read('journal.sh')
const supervisor = compact(journal + read('supervisor.sh'))
const attach = compact(journal + read('answers.sh') + read('attach.sh'))

/** Main process of a sandbox: keeps deadlines and the lifetime, starts `child`, whose exit is recorded and not fatal. */
export function supervisorArgv(
  options: RunnerPlaces & {
    readonly lifetimeMs: number
    /** The image's ENTRYPOINT and CMD, or a provider's own attach loop. */
    readonly child?: readonly string[]
  },
): string[] {
  const lifetime = String(Math.ceil(options.lifetimeMs / 10))
  const child = options.child ?? []
  return ['sh', '-c', supervisor, 'rollcall', options.journalDir, options.outputDir, lifetime, ...child]
}

/** One attachment: requests on stdin, frames on stdout. Ends at end of file; stops nothing. */
export function attachArgv(
  options: RunnerPlaces & {
    /** Default user for commands (the attachment itself runs as root where there is one). */
    readonly user?: string
    /** Default directory for commands. */
    readonly workdir: string
  },
): string[] {
  return ['sh', '-c', attach, 'rollcall', options.journalDir, options.outputDir, options.user ?? '', options.workdir]
}
