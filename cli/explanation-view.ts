import type { RolloutExplanation } from '../client/explanation.ts'
import { formatReward } from '../results/summary.ts'
import { escapeControls } from '../results/terminal-text.ts'
import { formatDuration } from './progress-view.ts'

/** One screen about one rollout: a heading, then a label and what it is on each line. */
export function explanationLines(explained: RolloutExplanation, at: { nowMs: number; storeUrl: string }): string[] {
  const rows = [
    ...doingRows(explained, at.nowMs),
    ...retryRows(explained, at.nowMs),
    ...placeRows(explained),
    ...endRows(explained, at.storeUrl),
    ...nextRows(explained),
  ]
  const width = Math.max(...rows.map(([label]) => label.length))
  return [
    `${explained.id}  ${explained.state}`,
    ...rows.map(([label, text]) => `  ${label.padEnd(width)}  ${escapeControls(text)}`),
  ]
}

type Row = readonly [label: string, text: string]

function doingRows({ doing, since, turn, phase }: RolloutExplanation, nowMs: number): Row[] {
  const where = [phase, turn === undefined ? undefined : `turn ${turn}`].filter((part) => part !== undefined)
  return [
    ['now', doing],
    ...(since === undefined ? [] : [['since', `${since} (${ago(since, nowMs)})`] as const]),
    ...(where.length === 0 ? [] : [['in', where.join(', ')] as const]),
  ]
}

function retryRows({ retry }: RolloutExplanation, nowMs: number): Row[] {
  if (retry === undefined) return []
  const { attempt, failure, nextAt } = retry
  const code = failure?.code === undefined ? '' : `${failure.code}: `
  const before = failure === undefined ? 'the one before ended without a word' : `${code}${failure.message}`
  const waitMs = nextAt === undefined ? 0 : Date.parse(nextAt) - nowMs
  const next = nextAt === undefined ? 'it runs' : waitMs > 0 ? `at ${nextAt} (in ${formatDuration(waitMs)})` : 'at once'
  return [
    ['attempt', `${attempt}, ${next}`],
    ['because', before],
  ]
}

function placeRows({ worker, sandbox }: RolloutExplanation): Row[] {
  const where = worker?.host === undefined ? '' : ` (process ${worker.pid} on host ${worker.host})`
  const lives = sandbox === undefined || sandbox.incarnation === 1 ? '' : `, its sandbox number ${sandbox.incarnation}`
  return [
    ...(worker === undefined ? [] : [['worker', `${worker.identity}${where}`] as const]),
    ...(sandbox === undefined
      ? []
      : [['sandbox', `${sandbox.name} (${sandbox.provider} ${sandbox.place})${lives}`] as const]),
  ]
}

function endRows({ ended }: RolloutExplanation, storeUrl: string): Row[] {
  if (ended === undefined) return []
  const { at, rewards, agentEnd, failure, trace } = ended
  const grades = Object.entries(rewards ?? {}).map(([name, reward]) => `${name} ${formatReward(reward)}`)
  return [
    ['ended', at],
    ...(grades.length === 0 ? [] : [['grade', grades.join(', ')] as const]),
    ...(agentEnd === undefined ? [] : [['agent', agentEnd] as const]),
    ...(failure === undefined
      ? []
      : ([
          ['cause', `${failure.code}: ${failure.message}`],
          ['must act', `${failure.actor} (${failure.meaning})`],
        ] as const)),
    ['trace', objectUrl(storeUrl, trace)],
  ]
}

/** A store's URL may end with settings after a question mark. */
function objectUrl(storeUrl: string, key: string): string {
  const [place = ''] = storeUrl.split('?', 1)
  return `${place.replace(/\/$/, '')}/${key}`
}

function nextRows({ job, unservedQueue, state }: RolloutExplanation): Row[] {
  if (unservedQueue !== undefined) {
    const isOwn = unservedQueue === `rollcall-${job}`
    return [
      ['do', isOwn ? `rollcall watch ${job} starts a worker` : 'rollcall worker, on a host that this queue is for'],
    ]
  }
  return state === 'lost' ? [['do', `rollcall sweep removes what it has left; start it again under another --job`]] : []
}

function ago(since: string, nowMs: number): string {
  return `for ${formatDuration(Math.max(0, nowMs - Date.parse(since)))}`
}
