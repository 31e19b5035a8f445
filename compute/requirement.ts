import { RollcallError } from '../protocol/failure.ts'
import type { ComputeNode, NodeReport } from './node.ts'

type Comparison = '>=' | '<=' | '>' | '<' | '=' | '!='

interface Condition {
  readonly field: string
  readonly comparison: Comparison
  readonly value: string
}

/** Sizes in GiB, as people say them. */
const numbers: Readonly<Record<string, (report: NodeReport) => number | 'unknown'>> = {
  gpus: ({ gpus }) => (gpus === 'unknown' ? 'unknown' : gpus.length),
  vram: ({ gpus }) => (gpus === 'unknown' ? 'unknown' : inGiB(leastOf(gpus.map(({ vramMiB }) => vramMiB)))),
  cores: ({ cores }) => cores,
  memory: ({ memoryMiB }) => inGiB(memoryMiB),
  disk: ({ diskMiB }) => inGiB(diskMiB),
  rtt: ({ roundTripMs }) => roundTripMs,
}

const words: Readonly<Record<string, (node: ComputeNode, report: NodeReport) => string>> = {
  type: ({ type }) => type,
  arch: (_node, { architecture }) => architecture,
  docker: (_node, { docker }) => (docker === 'unknown' ? 'unknown' : 'yes'),
  internet: (_node, { internet }) => (internet === 'unknown' ? 'unknown' : internet ? 'yes' : 'no'),
}

/** Whether `--node` was given a requirement (`gpus>=1,vram>=40`) and not a name. */
export function isRequirement(text: string): boolean {
  return /[<>=]/.test(text)
}

/**
 * The first node that answered when it was last asked and satisfies every condition; what is unknown satisfies none.
 * @throws RollcallError `configuration-invalid` for a condition that is none, or saying why each node does not do
 */
export function selectNode(nodes: readonly ComputeNode[], requirement: string): ComputeNode {
  const conditions = requirement.split(',').map(parseCondition)
  const refusals = nodes.map((node) => ({ node, why: refusalOf(node, conditions) }))
  const fit = refusals.find(({ why }) => why === undefined)
  if (fit !== undefined) return fit.node
  const reasons = refusals.map(({ node, why }) => `${node.name}: ${why}`).join('; ')
  throw invalid(
    nodes.length === 0
      ? `No node satisfies ${requirement}: none has been added (rollcall nodes add)`
      : `No node satisfies ${requirement} (${reasons}); rollcall nodes probe looks again`,
  )
}

function parseCondition(text: string): Condition {
  const [, field = '', comparison, value = ''] = /^\s*([a-z]+)\s*(>=|<=|!=|>|<|=)\s*(\S+)\s*$/.exec(text) ?? []
  const isNumber = Object.hasOwn(numbers, field)
  if (!isComparison(comparison) || (!isNumber && !Object.hasOwn(words, field))) {
    const fields = [...Object.keys(numbers), ...Object.keys(words)].join(', ')
    throw invalid(`Condition is ${JSON.stringify(text)}: expected FIELD>=VALUE with one of ${fields}`)
  }
  if (isNumber && !/^\d+(\.\d+)?$/.test(value)) throw invalid(`Condition ${text.trim()}: expected a number`)
  if (!isNumber && comparison !== '=' && comparison !== '!=')
    throw invalid(`Condition ${text.trim()}: expected = or !=`)
  return { field, comparison, value }
}

function refusalOf(node: ComputeNode, conditions: readonly Condition[]): string | undefined {
  if (node.problem !== undefined) return 'it did not answer'
  const { report } = node
  if (report === undefined) return 'it was never asked what it has'
  for (const { field, comparison, value } of conditions) {
    const has = numbers[field]?.(report) ?? words[field]?.(node, report) ?? 'unknown'
    if (has === 'unknown') return `${field} unknown`
    if (!holds(has, comparison, value)) return `${field} is ${has}`
  }
  return undefined
}

function holds(has: number | string, comparison: Comparison, value: string): boolean {
  const wanted = typeof has === 'number' ? Number(value) : value
  switch (comparison) {
    case '>=':
      return has >= wanted
    case '<=':
      return has <= wanted
    case '>':
      return has > wanted
    case '<':
      return has < wanted
    case '=':
      return has === wanted
    case '!=':
      return has !== wanted
  }
}

function isComparison(text: string | undefined): text is Comparison {
  return text !== undefined && ['>=', '<=', '>', '<', '=', '!='].includes(text)
}

/** Of several GPUs the smallest counts: a rollout may get any. */
function leastOf(sizes: readonly (number | 'unknown')[]): number | 'unknown' {
  const known = sizes.filter((size) => size !== 'unknown')
  return known.length === 0 || known.length < sizes.length ? 'unknown' : Math.min(...known)
}

function inGiB(mib: number | 'unknown'): number | 'unknown' {
  return mib === 'unknown' ? 'unknown' : Math.round((mib / 1024) * 10) / 10
}

function invalid(message: string): RollcallError {
  return new RollcallError('configuration-invalid', message)
}
