/** The two POSIX sh programs that run inside a sandbox, as argv for a provider to start. */

export interface RunnerPlaces {
  /** Small, best on tmpfs: claims and exit records. Made (0700) if absent. */
  readonly journalDir: string
  /** On disk: output and input files of commands. Made (0700) if absent. */
  readonly outputDir: string
}

/** Main process of a sandbox: keeps deadlines and the lifetime, starts `child`, whose exit is recorded and not fatal. */
export declare function supervisorArgv(
  options: RunnerPlaces & {
    readonly lifetimeMs: number
    /** The image's ENTRYPOINT and CMD, or a provider's own attach loop. */
    readonly child?: readonly string[]
  },
): string[]

/** One attachment: requests on stdin, frames on stdout. Ends at end of file; stops nothing. */
export declare function attachArgv(
  options: RunnerPlaces & {
    /** Default user for commands (the attachment itself runs as root where there is one). */
    readonly user?: string
    /** Default directory for commands. */
    readonly workdir: string
  },
): string[]
