import junit from 'junit-report-builder'
import type { TestCase } from 'junit-report-builder'
import { failureKinds } from '../protocol/failure.ts'
import type { JobSummary, SummaryRollout } from '../protocol/grade.ts'
import { defaultPassReward } from './job-statistics.ts'
import { formatReward, mainReward } from './summary.ts'
import { escapeControls } from './terminal-text.ts'

/**
 * A job as JUnit XML: a suite per agent, a case per rollout. A rollout that passed is a passed case, one with a lower
 * reward a failure, one without a reward an error (somebody else than the agent must act), a cancelled one is skipped.
 */
export function formatJunit(summary: JobSummary, passReward = defaultPassReward): string {
  const report = junit.newBuilder().name(summary.job)
  for (const [agent, rollouts] of Map.groupBy(summary.rollouts, (rollout) => rollout.agent)) {
    const suite = report.testSuite().name(xmlText(`${summary.job}.${agent}`))
    for (const rollout of rollouts) {
      const test = suite
        .testCase()
        .className(xmlText(`${summary.job}.${agent}`))
        .name(xmlText(caseName(rollout)))
      if (rollout.timeMs?.total !== undefined) test.time(rollout.timeMs.total / 1000)
      addOutcome(test, rollout, passReward)
    }
  }
  return `${report.build().trimEnd()}\n`
}

function caseName({ task, attempt }: SummaryRollout): string {
  return attempt === 1 ? task : `${task} (attempt ${attempt})`
}

function addOutcome(test: TestCase, rollout: SummaryRollout, passReward: number): void {
  const { state, rewards, failure, integrity, id } = rollout
  if (state === 'cancelled') test.skipped()
  else if (state === 'failed') {
    const code = failure?.code ?? 'internal'
    test.error(xmlText(`${failure?.message ?? 'no reward'} (${failureKinds[code].actor} must act)`), code)
  } else {
    const reward = rewards && mainReward(rewards)
    if (reward === undefined || reward < passReward) {
      test.failure(`reward ${formatReward(reward)}, expected at least ${passReward}`, 'reward')
    }
  }
  test.property('rollout', xmlText(id))
  for (const [name, value] of Object.entries(rewards ?? {})) test.property(xmlText(`reward.${name}`), String(value))
  if (integrity !== undefined) test.property('integrity', integrity)
}

/** XML 1.0 has no way to write control characters, half surrogate pairs and two more. */
function xmlText(text: string): string {
  return escapeControls(text.toWellFormed()).replaceAll(/[\ufffe\uffff]/g, '\ufffd')
}
