import { expect, test } from 'vitest'
import { formatCsv } from './csv.ts'
import { rolloutResult } from './fixtures/rollout-result.ts'
import { summarizeResults } from './summary.ts'

test('each rollout is a line: the reward, or what failed and who must act', () => {
  const results = [
    rolloutResult({ task: 'a', rewards: { reward: 0.5 } }),
    rolloutResult({ task: 'b', failure: { code: 'sandbox-lost', message: 'It said "no",\nthen died.' } }),
  ]
  const csv = formatCsv(summarizeResults({ job: 'j', results }))
  expect(csv).toBe(
    'task,agent,attempt,state,reward,integrity,failure,must_act,message,agent_end,turns,open_ms,turns_ms,grade_ms,' +
      'total_ms,input_tokens,cached_input_tokens,output_tokens,cost_usd,task_checksum,rewards,id\n' +
      'a,oracle,1,graded,0.5,clean,,,,done,1,1000,,,4000,10,,,,c0ffee,"{""reward"":0.5}",j.a.oracle.1\n' +
      'b,oracle,1,failed,,,sandbox-lost,sandbox,"It said ""no"",\nthen died.",,1,1000,,,4000,10,,,,c0ffee,,j.b.oracle.1\n',
  )
})

test('what a sandbox has printed controls no terminal; its lines stay lines', () => {
  const failure = { code: 'grader-failed', message: 'one\u001b[2J\r\ntwo\u009b' } as const
  const csv = formatCsv(summarizeResults({ job: 'j', results: [rolloutResult({ task: 'a', failure })] }))
  expect(csv).toContain('"one\\e[2J\\r\ntwo\\x9b"')
})

test('a message that looks like a formula is no formula to a spreadsheet', () => {
  const failure = { code: 'grader-failed', message: '=HYPERLINK("http://x")' } as const
  expect(formatCsv(summarizeResults({ job: 'j', results: [rolloutResult({ task: 'a', failure })] }))).toContain(
    `"'=HYPERLINK(""http://x"")"`,
  )
})
