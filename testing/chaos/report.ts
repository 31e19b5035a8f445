import Table from 'cli-table3'
import { faultKinds, isFaultKind } from './fault-plan.ts'
import type { ChaosReport } from './run-chaos.ts'

/** The faults by kind, how many of them the job survived, and how long it got nothing done after them. */
export function formatReport(report: ChaosReport): string {
  const head = ['Fault', 'Injected', 'Survived', 'Went on after, median', 'longest']
  const table = new Table({
    head,
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  })
  for (const [kind, what] of Object.entries(faultKinds)) {
    const faults = report.injected.filter((fault) => fault.kind === kind)
    const survived = faults.filter((fault) => isSurvived(fault, report)).length
    const pauses = faults.flatMap(({ wentOnAfterMs }) => wentOnAfterMs ?? []).toSorted((a, b) => a - b)
    const [median, longest] = [pauses[Math.floor(pauses.length / 2)], pauses.at(-1)]
    if (isFaultKind(kind)) table.push([what, faults.length, survived, inSeconds(median), inSeconds(longest)])
  }
  return [table.toString(), ...closing(report)].join('\n')
}

/** What hit one sandbox has to do with one rollout; what hit a worker or the server, with all of them. */
function isSurvived({ rollout, wentOnAfterMs }: ChaosReport['injected'][number], report: ChaosReport): boolean {
  if (wentOnAfterMs === undefined) return false
  return rollout === undefined ? report.broken.length === 0 : !report.brokenRollouts.includes(rollout)
}

function inSeconds(ms: number | undefined): string {
  return ms === undefined ? '' : `${(ms / 1_000).toFixed(1)} s`
}

function closing(report: ChaosReport): string[] {
  const { seed, rollouts, injected, calmMs, stormMs, commandStarts, workerStarts, broken, evidence } = report
  return [
    `seed ${seed}: ${rollouts} rollouts in ${inSeconds(stormMs)} under ${injected.length} faults, ${inSeconds(calmMs)} without`,
    `rollouts cancelled: ${report.cancelled}; calls lost: ${report.lostCalls}; starts of the command: ${commandStarts}, of workers beside the job’s own: ${workerStarts}`,
    ...(broken.length === 0
      ? ['every invariant holds']
      : ['BROKEN:', ...broken.map((what) => `  ${what}`), `evidence: ${evidence}`]),
  ]
}
