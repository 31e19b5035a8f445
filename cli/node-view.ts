import Table from 'cli-table3'
import type { ComputeNode, NodeReport } from '../compute/node.ts'
import type { StoredKey } from '../compute/ssh-keys.ts'
import { escapeControls } from '../results/terminal-text.ts'

export function nodesTable(nodes: readonly ComputeNode[], preferred: string | undefined): string {
  const table = new Table({
    head: ['node', 'type', 'where', 'cores', 'memory', 'GPUs', 'state'],
    style: { head: [], border: [], compact: true },
  })
  for (const node of nodes) {
    const { report } = node
    const name = node.name === preferred ? `${node.name} (default)` : node.name
    const row = [
      name,
      node.type,
      whereOf(node),
      report === undefined ? '–' : String(report.cores),
      report === undefined ? '–' : gib(report.memoryMiB),
      report === undefined ? '–' : gpusOf(report),
      stateOf(node),
    ]
    table.push(row.map(escapeControls))
  }
  return table.toString()
}

/** One fact a line. */
export function nodeDetails(node: ComputeNode): string {
  const { report } = node
  const facts: [string, string][] = [
    ['node', `${node.name} (${node.type})`],
    ['where', whereOf(node)],
    ['state', stateOf(node)],
    ...(report === undefined ? [] : factsOf(report)),
  ]
  const columns = Math.max(...facts.map(([name]) => name.length))
  return facts.map(([name, value]) => `${name.padEnd(columns)}  ${escapeControls(value)}`).join('\n')
}

export function keysTable(keys: readonly StoredKey[], nodes: readonly ComputeNode[]): string {
  const table = new Table({
    head: ['key', 'type', 'fingerprint', 'passphrase', 'used by'],
    style: { head: [], border: [], compact: true },
  })
  for (const { name, type, fingerprint, hasPassphrase, path } of keys) {
    const users = nodes.filter(({ settings }) => settings['key'] === path).map((node) => node.name)
    table.push([name, type, fingerprint, hasPassphrase ? 'yes' : 'no', users.join(', ') || '–'].map(escapeControls))
  }
  return table.toString()
}

function factsOf(report: NodeReport): [string, string][] {
  return [
    ['system', `${report.distribution}, ${report.os} on ${report.architecture}`],
    ['cores', String(report.cores)],
    ['memory', gib(report.memoryMiB)],
    ['disk', `${gib(report.diskMiB)} free`],
    ['GPUs', gpusOf(report)],
    ['driver', `${report.driver}, CUDA ${report.cuda}`],
    ['Python', report.pythons === 'unknown' ? 'unknown' : report.pythons.join(', ') || 'none'],
    ['Docker', report.docker],
    ['conda', report.conda],
    ['internet', report.internet === 'unknown' ? 'unknown' : report.internet ? 'yes' : 'no'],
    ['round trip', report.roundTripMs === 'unknown' ? 'unknown' : `${report.roundTripMs} ms`],
  ]
}

function whereOf({ settings }: ComputeNode): string {
  const { host, port, user, socket } = settings
  if (host === undefined) return socket ?? 'this machine'
  return `${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}`
}

function stateOf({ problem, lastSeen }: ComputeNode): string {
  if (problem !== undefined) return `does not answer: ${problem}`
  return lastSeen === undefined ? 'never asked' : `answered ${lastSeen}`
}

function gpusOf({ gpus }: NodeReport): string {
  if (gpus === 'unknown') return 'unknown'
  if (gpus.length === 0) return 'none'
  return gpus.map(({ name, vramMiB }) => (name === 'unknown' ? 'unknown' : `${name} ${gib(vramMiB)}`)).join(', ')
}

function gib(mib: number | 'unknown'): string {
  return mib === 'unknown' ? 'unknown' : `${(mib / 1024).toFixed(1)} GiB`
}
