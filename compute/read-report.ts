import { nothingKnown } from './node.ts'
import type { NodeReport } from './node.ts'

/** What probe.sh has said. Lines of anything else are passed over: a login shell may greet. */
export function readReport(text: string): NodeReport {
  const facts = text.split('\n').map((line) => line.split('\t'))
  const all = (name: string): string[][] => facts.filter(([word]) => word === name).map(([, ...words]) => words)
  const one = (name: string): string => all(name)[0]?.[0] ?? 'unknown'
  const count = (name: string): number | 'unknown' => numberOf(one(name))
  return {
    ...nothingKnown,
    os: one('os'),
    distribution: one('distribution'),
    architecture: one('architecture'),
    cores: count('cores'),
    memoryMiB: inMiB(count('memoryKiB')),
    diskMiB: inMiB(count('diskKiB')),
    gpus: gpusOf(all('gpu'), count('gpusOnBus')),
    driver: one('driver'),
    cuda: one('cuda'),
    pythons: one('pythons') === 'unknown' ? 'unknown' : newestFirst(all('python').flat()),
    docker: one('docker'),
    conda: one('conda'),
    internet: one('internet') === 'unknown' ? 'unknown' : one('internet') === 'yes',
  }
}

/** Where no driver speaks, the bus still tells how many there are. */
function gpusOf(told: readonly string[][], onBus: number | 'unknown'): NodeReport['gpus'] {
  if (told.length > 0) return told.map(([name = 'unknown', vram = '']) => ({ name, vramMiB: numberOf(vram) }))
  if (onBus === 'unknown') return 'unknown'
  return Array.from({ length: onBus }, () => ({ name: 'unknown', vramMiB: 'unknown' }))
}

function newestFirst(versions: readonly string[]): string[] {
  return [...new Set(versions)].toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }))
}

function inMiB(kib: number | 'unknown'): number | 'unknown' {
  return kib === 'unknown' ? 'unknown' : Math.floor(kib / 1024)
}

function numberOf(text: string): number | 'unknown' {
  return /^\d+$/.test(text) ? Number(text) : 'unknown'
}
