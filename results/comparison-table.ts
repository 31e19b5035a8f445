import Table from 'cli-table3'
import { createColors } from 'picocolors'
import type { ComparedSide, ComparedTask, Comparison, Change } from './comparison.ts'
import { formatP } from './paired-difference.ts'
import type { PairedDifference } from './paired-difference.ts'
import { formatReward } from './summary.ts'
import { escapeControls } from './terminal-text.ts'

const said: Readonly<Record<Change, string>> = {
  worse: 'WORSE',
  changed: 'task changed',
  'not-graded': 'not graded',
  removed: 'only in A',
  added: 'only in B',
  better: 'better',
  same: 'same',
}

/** Two jobs side by side, regressions first. `color`: ANSI colours, default false. */
export function formatComparison(comparison: Comparison, options: { color?: boolean } = {}): string {
  const { bold } = createColors(options.color ?? false)
  const { a, b, difference, tasks, checksumsCompared } = comparison
  return [
    tasksTable(tasks, bold),
    sideLine('A', a),
    sideLine('B', b),
    differenceLine(difference),
    countsLine(tasks),
    ...(checksumsCompared
      ? []
      : ['Whether tasks have changed is not known: Harbor and Rollcall number them differently.']),
  ].join('\n')
}

function tasksTable(tasks: readonly ComparedTask[], bold: (text: string) => string): string {
  const withAgent = tasks.some(({ agent }) => agent !== undefined)
  const labels = ['Task', ...(withAgent ? ['Agent'] : [])]
  const head = [...labels, 'A', 'B', 'B − A', 'Failed A', 'Failed B', ''].map(bold)
  const table = new Table({
    head,
    colAligns: head.map((_, column) => (column < labels.length || column === head.length - 1 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  })
  for (const task of tasks) {
    const names = [task.task, ...(withAgent ? [task.agent ?? ''] : [])].map(escapeControls)
    const row = [...names, ...numbers(task), said[task.change]]
    table.push(task.change === 'worse' ? row.map(bold) : row)
  }
  return table.toString()
}

function numbers({ before, now, difference, failedBefore, failedNow }: ComparedTask): string[] {
  const change = difference === undefined ? '–' : signed(difference)
  return [formatReward(before), formatReward(now), change, String(failedBefore), String(failedNow)]
}

function signed(value: number): string {
  return value < 0 ? `−${formatReward(-value)}` : `${value > 0 ? '+' : ''}${formatReward(value)}`
}

function sideLine(letter: string, { name, mean, graded, failures, finished }: ComparedSide): string {
  const failed = failures.map(({ code, actor, count }) => {
    const whose = actor === 'unknown' ? '' : ` (${actor} must act)`
    return `${count} × ${escapeControls(code)}${whose}`
  })
  const notes = [
    `mean ${formatReward(mean)} of ${graded} graded`,
    ...(failed.length === 0 ? [] : [`not counted: ${failed.join(', ')}`]),
    ...(finished ? [] : ['not all of its rollouts have ended']),
  ]
  return `${letter}: ${escapeControls(name)}: ${notes.join('; ')}`
}

function differenceLine(difference: PairedDifference | undefined): string {
  if (difference === undefined) return 'B − A: no task is the same and graded in both.'
  const { mean, low, high, p, tasks, test } = difference
  const interval = low === undefined || high === undefined ? '' : ` [${signed(low)}, ${signed(high)}] (95 %)`
  const names = { 'sign-flip': 'exact sign-flip test', 'paired-t': 'paired t test' }
  const verdict = p < 0.05 ? 'significant' : 'may be chance'
  return `B − A: ${signed(mean)}${interval} over ${tasks} ${tasks === 1 ? 'task' : 'tasks'}, ${formatP(p, 4)} (${names[test]}): ${verdict}`
}

function countsLine(tasks: readonly ComparedTask[]): string {
  const groups = Map.groupBy(tasks, ({ change }) => change)
  return `Tasks: ${[...groups].map(([change, own]) => `${own.length} ${change === 'worse' ? 'worse' : said[change]}`).join(', ')}`
}
