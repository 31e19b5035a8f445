import { readdir, readFile } from 'node:fs/promises'

const bytesPerKiB = 1024
/** USER_HZ: what /proc counts processor time in, on every Linux that Node runs on. */
const ticksPerSecond = 100

export interface ProcessUsage {
  readonly residentMiB: number
  /** The most it ever had. */
  readonly peakMiB: number
  /** Processor time so far, user and system, without its children. */
  readonly cpuMs: number
}

/** What a living process uses. @throws when it has ended */
export async function processUsage(pid: number): Promise<ProcessUsage> {
  const [status, stat] = await Promise.all([
    readFile(`/proc/${pid}/status`, 'utf8'),
    readFile(`/proc/${pid}/stat`, 'utf8'),
  ])
  // The program's name, in parentheses, may hold blanks; the fields after it are numbered from 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[14 - 3]) + Number(fields[15 - 3])
  return {
    residentMiB: mebibytes(status, 'VmRSS'),
    peakMiB: mebibytes(status, 'VmHWM'),
    cpuMs: (ticks / ticksPerSecond) * 1000,
  }
}

function mebibytes(status: string, field: string): number {
  const kibibytes = Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
  return kibibytes / bytesPerKiB
}

/** Living processes of which the command line names `text`. */
export async function processesNaming(text: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.filter((_, index) => lines[index]?.includes(text)).map(Number)
}
