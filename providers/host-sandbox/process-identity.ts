import { readdir, readFile } from 'node:fs/promises'
import { z } from 'zod'

/** One process for good: pids are reused, pid and start time together are not, until the machine restarts. */
export const processIdentitySchema = z.object({
  pid: z.number().int().positive(),
  /** Field 22 of /proc/PID/stat. */
  startTicks: z.number().int().nonnegative(),
  bootId: z.string(),
})

export type ProcessIdentity = z.infer<typeof processIdentitySchema>

/** Whether that very process still runs. A zombie does not. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (!(await isOfThisBoot(identity))) return false
  const stat = await readProcess(identity.pid, 'stat')
  if (stat === undefined) return false
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return !['Z', 'X'].includes(fields[0] ?? 'X') && Number(fields[19]) === identity.startTicks
}

/** Whether the machine has not been restarted since. */
export async function isOfThisBoot(identity: ProcessIdentity): Promise<boolean> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim() === identity.bootId
}

/** Kills that very process; gone already is fine. */
export async function killProcess(identity: ProcessIdentity): Promise<void> {
  if (await isAlive(identity)) kill(identity.pid)
}

/** Kills every process that has `marker` as one of its arguments. Answers how many there were. */
export async function killMarked(marker: string): Promise<number> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number)
  const marked = await Promise.all(pids.map((pid) => hasArgument(pid, marker)))
  const found = pids.filter((_pid, index) => marked[index])
  found.forEach(kill)
  return found.length
}

async function hasArgument(pid: number, argument: string): Promise<boolean> {
  return (await readProcess(pid, 'cmdline'))?.split('\0').includes(argument) ?? false
}

async function readProcess(pid: number, file: 'stat' | 'cmdline'): Promise<string | undefined> {
  return await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => undefined)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
