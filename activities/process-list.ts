/** One process as the kernel tells it inside the sandbox. */
export interface SandboxProcess {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/** Prints `pid parent command` of every process; builtins and `tr` only. */
export const listProcessesScript = `
for stat in /proc/[0-9]*/stat; do
  read -r line < "$stat" 2>/dev/null || continue
  pid=\${line%% *}
  rest=\${line##*) }
  state=\${rest%% *}
  [ "$state" = Z ] && continue
  rest=\${rest#* }
  printf '%s %s ' "$pid" "\${rest%% *}"
  tr '\\0\\n' '  ' < "/proc/$pid/cmdline" 2>/dev/null | head -c 200
  printf '\\n'
done
`

export function parseProcesses(text: string): SandboxProcess[] {
  return text.split('\n').flatMap((line) => {
    const [, pid, parent, command = ''] = /^(\d+) (\d+) (.*)$/.exec(line) ?? []
    return pid === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), command: command.trim() }]
  })
}

/**
 * Processes that commands have left behind: an orphan's parent is process 1. Rollcall's own are below the supervisor,
 * which is process 1's first child, or come from outside the sandbox (parent 0).
 */
export function leftBehind(processes: readonly SandboxProcess[]): SandboxProcess[] {
  const childrenOfInit = processes.filter(({ parent }) => parent === 1).map(({ pid }) => pid)
  const supervisor = Math.min(...childrenOfInit)
  const parents = new Map(processes.map(({ pid, parent }) => [pid, parent]))
  return processes.filter(({ pid }) => {
    const top = topBelowInit(pid, parents)
    return top !== undefined && top !== supervisor
  })
}

/** The ancestor whose parent is process 1; undefined for process 1 itself and for what came from outside. */
function topBelowInit(pid: number, parents: ReadonlyMap<number, number>): number | undefined {
  for (let at = pid, hops = 0; hops < 10_000; hops += 1) {
    const parent = parents.get(at)
    if (parent === 1) return at
    if (parent === undefined || parent === 0) return undefined
    at = parent
  }
  return undefined
}
