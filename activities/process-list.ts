/** One process as the kernel tells it inside the sandbox. */
export interface SandboxProcess {
  readonly pid: number
  /** 0: it came from outside the sandbox. */
  readonly parent: number
  readonly session: number
}

/**
 * Prints the lister's own pid, `pid parent session` of every process that is not a zombie, and last `steady`, or
 * `unsteady` when processes came and went all the time. Nothing here forks, and the kernel counts every process that is
 * made, so a list is whole when the count has not moved and nothing has vanished meanwhile: a process that forks and
 * ends all the time to have a new pid whenever somebody looks makes every list unsteady. A name may hold newlines and
 * blanks, so a status is read to its end; a zombie with other threads is alive.
 */
export const listProcessesScript = `
exec 2>/dev/null
newline='
'
rounds=0 verdict=unsteady
while [ "$verdict" = unsteady ] && [ $rounds -lt 100 ]; do
  rounds=$((rounds + 1)) list= vanished= before= after=
  read -r x x x x before </proc/loadavg
  for file in /proc/[0-9]*/stat; do
    stat= part=
    while IFS= read -r part || [ -n "$part" ]; do stat="$stat $part"; done <"$file"
    if [ -z "$stat" ]; then
      vanished=1
      continue
    fi
    pid=\${file#/proc/}
    pid=\${pid%/stat}
    set -- \${stat##*) }
    entry="$pid $2 $4"
    if [ "$1" = Z ] || [ "$1" = X ]; then
      set -- "/proc/$pid/task"/[0-9]*
      [ $# -gt 1 ] || continue
    fi
    list="$list$entry$newline"
  done
  read -r x x x x after </proc/loadavg
  if [ -z "$vanished" ] && [ "$before" = "$after" ]; then
    verdict=steady
  elif [ $rounds -gt 10 ]; then
    sleep 0.02
  fi
done
printf '%s\\n%s%s\\n' $$ "$list" "$verdict"
`

/** Prints one line for each pid: its command line, cut. Evidence only: whoever is root can make it say anything. */
export function commandsScript(pids: readonly number[]): string {
  return `for pid in ${pids.join(' ')}; do
  tr '\\0\\n' '  ' <"/proc/$pid/cmdline" | head -c 200
  echo
done 2>/dev/null`
}

export interface ProcessList {
  /** Pid of the process that made the list. */
  readonly lister: number
  readonly processes: readonly SandboxProcess[]
}

/** The list out of what `listProcessesScript` printed; undefined when it is not whole, so that nobody takes it for one. */
export function parseProcesses(text: string): ProcessList | undefined {
  const [first = '', ...lines] = text.trimEnd().split('\n')
  if (lines.pop() !== 'steady') return undefined
  const processes = lines.flatMap((line) => {
    const [, pid, parent, session] = /^(\d+) (\d+) (\d+)$/.exec(line) ?? []
    return pid === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), session: Number(session) }]
  })
  const lister = Number(first)
  const isWhole = processes.length === lines.length && [1, lister].every((pid) => hasPid(processes, pid))
  return isWhole ? { lister, processes } : undefined
}

function hasPid(processes: readonly SandboxProcess[], pid: number): boolean {
  return processes.some((process) => process.pid === pid)
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
  const isRoot = (process: SandboxProcess) => process.pid === 1 || process.parent === 0 || sessions.has(process.session)
  const children = Map.groupBy(processes, (process) => process.parent)
  const ours = withDescendants(processes.filter(isRoot), (process) =>
    process.pid === 1 ? [] : (children.get(process.pid) ?? []),
  )
  return processes.filter((process) => !ours.has(process))
}

/** Terminates whatever the processes claim about their parents: each is visited once. */
function withDescendants(
  roots: readonly SandboxProcess[],
  childrenOf: (process: SandboxProcess) => readonly SandboxProcess[],
): Set<SandboxProcess> {
  const found = new Set(roots)
  for (const process of found) for (const child of childrenOf(process)) found.add(child)
  return found
}
