import Table from 'cli-table3'
import { meetsGoal } from './measure.ts'
import type { Row } from './measure.ts'

/** The table that a person reads. */
export function rowsTable(rows: readonly Row[]): string {
  const table = new Table({
    head: ['what', 'unit', 'min', 'p50', 'p95', 'n', 'goal', 'against', 'peers', ''],
    style: { head: [], border: [] },
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'left', 'left', 'left'],
    colWidths: [46],
    wordWrap: true,
  })
  table.push(...rows.map(cells))
  return table.toString()
}

function cells(row: Row): string[] {
  const { what, unit, min, p50, p95, samples, peers = '' } = row
  return [
    what,
    unit,
    min === undefined ? '' : figure(min),
    figure(p50),
    p95 === undefined ? '' : figure(p95),
    String(samples),
    goalOf(row),
    against(row),
    peers,
    verdict(row),
  ]
}

function goalOf({ goal }: Row): string {
  if (goal === undefined) return ''
  return 'atMost' in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`
}

function against({ baseline }: Row): string {
  if (baseline === undefined) return ''
  const wanted = baseline.ratioGoal === undefined ? '' : ` (goal ${baseline.ratioGoal} ×)`
  return `${baseline.what}: ${figure(baseline.p50)}, ${figure(baseline.ratio)} × better${wanted}`
}

function verdict(row: Row): string {
  const meets = meetsGoal(row)
  return meets === undefined ? '' : meets ? 'met' : 'MISSED'
}

/** Three digits that count. */
function figure(value: number): string {
  const decimals = Math.min(2, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1))))
  return value.toFixed(decimals)
}
