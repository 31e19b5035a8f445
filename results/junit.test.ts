import { expect, test } from 'vitest'
import { formatJunit } from './junit.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { summarizeResults } from './summary.ts'

function junitOf(results: Parameters<typeof summarizeResults>[0]['results']): string {
  return formatJunit(summarizeResults({ job: 'j', results }))
}

test('a wrong answer is a failure, a rollout without a reward an error, a cancelled one skipped', () => {
  const xml = junitOf([
    rolloutResult({ task: 'a', rewards: { reward: 1 } }),
    rolloutResult({ task: 'b', rewards: { reward: 0.5 } }),
    rolloutResult({ task: 'c', failure: { code: 'sandbox-lost', message: 'gone' } }),
    rolloutResult({ task: 'd', failure: { code: 'cancelled', message: 'stopped' } }),
    rolloutResult({ task: 'a', agent: 'nop', attempt: 2, rewards: { reward: 1 } }),
  ])
  expect(xml).toContain('<testsuites name="j" tests="5" failures="1" errors="1" skipped="1">')
  expect(xml).toMatch(/<testsuite name="j.oracle"[^>]* tests="4" failures="1" errors="1" skipped="1"/)
  expect(xml).toContain('<failure message="reward 0.500, expected at least 1" type="reward"/>')
  expect(xml).toContain('<error message="gone (sandbox must act)" type="sandbox-lost"/>')
  expect(xml).toContain('<testcase classname="j.nop" name="a (attempt 2)" time="4">')
  expect(xml).toContain('<property name="integrity" value="clean"/>')
})

test('what XML cannot hold is shown as an escape', () => {
  const message = '\u0000\u001b[2J <&"> ]]> \ud800 \uffff'
  const xml = junitOf([rolloutResult({ task: 'a', failure: { code: 'grader-failed', message } })])
  expect(xml).toContain('\\x00\\e[2J &lt;&amp;&quot;')
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  expect(xml).not.toMatch(/[\u0000-\u0008\u000b-\u001f\ud800-\udfff\ufffe\uffff]/)
})
