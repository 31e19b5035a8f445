import type { GroupStatistics } from '../../protocol/statistics.ts'
import { mainReward } from '../summary.ts'
import type { ReportBounds } from './bounds.ts'
import type { Html } from './html.ts'
import { barPlot, linesPlot } from './plots.ts'
import type { Series } from './plots.ts'
import type { ReportedJob } from './read-report.ts'

/** Bars that can still be told apart. */
const mostBars = 60

/** The plots of the overview; one that would show nothing is left out. */
export function jobPlots(reported: ReportedJob, bounds: ReportBounds): Html[] {
  return [
    ...meansByTask(reported, Math.min(mostBars, bounds.rows)),
    ...meansByAgent(reported),
    ...rewardHistogram(reported),
    ...passRates(reported),
    ...timeByPhase(reported),
  ]
}

function agentsOf({ statistics }: ReportedJob): string[] {
  return statistics.byAgent.map(({ agent }) => agent)
}

function meansByTask(reported: ReportedJob, most: number): Html[] {
  const { byTask } = reported.statistics
  const tasks = [...new Set(byTask.filter(({ mean }) => mean !== undefined).map(({ task }) => task))]
  const shown = tasks.slice(0, most)
  const groups = new Map(byTask.map((group) => [JSON.stringify([group.task, group.agent]), group]))
  const series = agentsOf(reported).map((name): Series => {
    const own = shown.map((task) => groups.get(JSON.stringify([task, name])))
    return { name, values: own.map((group) => group?.mean), intervals: own.map((group) => group?.interval) }
  })
  if (shown.length === 0) return []
  const left = tasks.length - shown.length
  const note = left > 0 ? { note: `The first ${shown.length} tasks; ${left} more are in the table.` } : {}
  return [barPlot({ title: 'Mean reward by task', labels: shown, series, unit: 'mean reward', max: 1, ...note })]
}

/** With the intervals, which need several tasks. One agent's is in the table. */
function meansByAgent(reported: ReportedJob): Html[] {
  const { byAgent } = reported.statistics
  if (byAgent.length < 2 || byAgent.every(({ mean }) => mean === undefined)) return []
  const means = { values: byAgent.map(({ mean }) => mean), intervals: byAgent.map(({ interval }) => interval) }
  const series = [{ name: 'mean reward', ...means }]
  const labels = byAgent.map(({ agent }) => agent)
  return [
    barPlot({ title: 'Mean reward by agent, with its 95 % interval', labels, series, unit: 'mean reward', max: 1 }),
  ]
}

const bins = 10

/** How rewards are spread. Those below 0 and above 1 are in the first and last bin. */
function rewardHistogram(reported: ReportedJob): Html[] {
  const labels = Array.from({ length: bins }, (_, bin) => `${bin / bins} – ${(bin + 1) / bins}`)
  const series = agentsOf(reported).map((name): Series => {
    const counts = Array.from({ length: bins }, () => 0)
    for (const { summary } of reported.rollouts) {
      if (summary.agent !== name || summary.state !== 'graded' || summary.rewards === undefined) continue
      const reward = mainReward(summary.rewards)
      if (reward === undefined) continue
      const bin = Math.min(bins - 1, Math.max(0, Math.floor(reward * bins)))
      counts[bin] = (counts[bin] ?? 0) + 1
    }
    return { name, values: counts }
  })
  if (reported.statistics.total.graded === 0) return []
  return [barPlot({ title: 'Rewards of graded rollouts', labels, series, unit: 'rollouts', stacked: true })]
}

/** Only of jobs with several attempts: pass@k rises with k, pass^k falls. */
function passRates(reported: ReportedJob): Html[] {
  const { byAgent } = reported.statistics
  const ks = [...new Set(byAgent.flatMap(({ passAtK }) => passAtK.map(({ k }) => k)))].toSorted((a, b) => a - b)
  if (ks.length < 2) return []
  const line = (name: string, rates: GroupStatistics['passAtK'], look: Pick<Series, 'color' | 'dashed'>): Series => ({
    name,
    ...look,
    values: ks.map((wanted) => rates.find(({ k }) => k === wanted)?.value),
  })
  const series = byAgent.flatMap(({ agent, passAtK, passHatK }, color) => [
    line(`${agent} pass@k`, passAtK, { color }),
    line(`${agent} pass^k`, passHatK, { color, dashed: true }),
  ])
  return [linesPlot({ title: 'pass@k and pass^k', labels: ks.map((k) => `k = ${k}`), series, unit: 'rate', max: 1 })]
}

function timeByPhase(reported: ReportedJob): Html[] {
  const { byAgent } = reported.statistics
  const phases = ['open', 'turns', 'grade'] as const
  const series = phases.map((phase): Series => {
    const means = byAgent.map(({ timeMs, rollouts }) => {
      const ms = timeMs[phase]
      return ms === undefined || rollouts === 0 ? undefined : ms / rollouts / 1000
    })
    return { name: phase, values: means }
  })
  if (series.every(({ values }) => values.every((value) => value === undefined))) return []
  const labels = byAgent.map(({ agent }) => agent)
  return [barPlot({ title: 'Seconds per rollout, by phase', labels, series, unit: 'seconds', stacked: true })]
}
