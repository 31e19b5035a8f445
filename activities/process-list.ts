/** One process as the kernel tells it inside the sandbox. */
export interface SandboxProcess {
  readonly pid: number
  /** 0: it came from outside the sandbox. */
  readonly parent: number
  readonly session: number
  readonly command: string
}

/** Prints the lister's own pid, then `pid parent session command` of every process that is not a zombie. */
export const listProcessesScript = `
echo $$
for stat in /proc/[0-9]*/stat; do
  read -r line < "$stat" 2>/dev/null || continue
  pid=\${line%% *}
  set -- \${line##*) }
  [ "$1" = Z ] && continue
  printf '%s %s %s ' "$pid" "$2" "$4"
  tr '\\0\\n' '  ' < "/proc/$pid/cmdline" 2>/dev/null | head -c 200
  printf '\\n'
done
`

export interface ProcessList {
  /** Pid of the process that made the list. */
  readonly lister: number
  readonly processes: readonly SandboxProcess[]
}

export function parseProcesses(text: string): ProcessList {
  const [first = '', ...lines] = text.split('\n')
  const processes = lines.flatMap((line) => {
    const [, pid, parent, session, command = ''] = /^(\d+) (\d+) (\d+) (.*)$/.exec(line) ?? []
    if (pid === undefined) return []
    return [{ pid: Number(pid), parent: Number(parent), session: Number(session), command: command.trim() }]
  })
  return { lister: Number(first), processes }
}

/**
 * Processes that commands have left behind. A command runs in a session of its own, and nobody can join a session, so
 * Rollcall's own processes are those in the session of process 1, of the lister and of its attachment, what came from
 * outside, and what these have as children; an orphan of a command is a child of process 1 in another session.
 */
export function leftBehind({ lister, processes }: ProcessList): SandboxProcess[] {
  const byPid = new Map(processes.map((process) => [process.pid, process]))
  const self = byPid.get(lister)
  const attachment = self === undefined ? undefined : byPid.get(self.parent)
  const sessions = new Set([byPid.get(1)?.session, self?.session, attachment?.session])
  const isOurs = (process: SandboxProcess): boolean => {
    if (process.pid === 1 || process.parent === 0 || sessions.has(process.session)) return true
    const parent = process.parent === 1 ? undefined : byPid.get(process.parent)
    return parent !== undefined && isOurs(parent)
  }
  return processes.filter((process) => !isOurs(process))
}
