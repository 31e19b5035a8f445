import { expect, test } from 'vitest'
import type { FoundSandbox, Ownership } from '../providers/contract/provider.ts'
import { judgeSandbox } from './sweep-rules.ts'
import type { Owner, SweepPolicy } from './sweep-rules.ts'

const minuteMs = 60_000
const nowMs = Date.parse('2026-01-02T12:00:00Z')

function sandbox(at: { ageMs?: number; expiresInMs?: number } & Partial<Ownership>): FoundSandbox {
  const { ageMs = 10 * minuteMs, expiresInMs = 60 * minuteMs, ...labels } = at
  const ownership: Ownership = {
    namespace: 'n',
    job: 'j',
    workflow: 'j.t.a.1',
    role: 'main',
    incarnation: 1,
    owner: 'o',
    spec: 's',
    keep: 'never',
    expires: nowMs + expiresInMs,
    ...labels,
  }
  const found = { name: 'rc-x', id: 'x', image: 'i', workdir: '/', state: 'running' } as const
  return { ...found, createdMs: nowMs - ageMs, ownership }
}

const open: Owner = { state: 'open' }
const closed: Owner = { state: 'closed' }
const unknown: Owner = { state: 'unknown' }
const foreign: Owner = { state: 'foreign' }
const hasFailed: Owner = { state: 'closed', outcome: 'reward-missing' }
const wasGraded: Owner = { state: 'closed', outcome: 'graded' }
const expired = { expiresInMs: 0 }

test.each<[sentence: string, goes: boolean, FoundSandbox, Owner, Partial<SweepPolicy>?]>([
  ['one whose rollout runs stays', false, sandbox({}), open],
  ['and so it does past its time: its rollout finds it dead by itself', false, sandbox(expired), open],
  ['one whose rollout is over goes', true, sandbox({}), closed],
  ['one whose rollout nobody knows goes', true, sandbox({}), unknown],
  ['one of the incarnation that its rollout lives in stays', false, sandbox({ incarnation: 2 }), open2(2)],
  ['one of an earlier incarnation goes', true, sandbox({ incarnation: 1 }), open2(2)],
  ['one of a later incarnation than the server tells of stays', false, sandbox({ incarnation: 3 }), open2(2)],
  ['an earlier incarnation is kept for nobody', true, sandbox({ keep: 'always' }), open2(2)],
  ['one whose pool has it stays', false, sandbox({ role: 'pool', incarnation: 7 }), open],
  ['one that its pool does not know goes', true, sandbox({ role: 'pool' }), { state: 'disowned' }],
  ['but not before it is two minutes old', false, sandbox({ role: 'pool', ageMs: 1 }), { state: 'disowned' }],
  ['one whose pool is over goes', true, sandbox({ role: 'pool' }), closed],
  ['one of less than two minutes stays', false, sandbox({ ageMs: 2 * minuteMs - 1 }), closed],
  ['one of two minutes goes', true, sandbox({ ageMs: 2 * minuteMs }), closed],
  ['one of the future, by a clock that is wrong, stays', false, sandbox({ ageMs: -minuteMs }), unknown],
  ['where nobody makes any more no age is too young', true, sandbox({ ageMs: 0 }), closed, { minimumAgeMs: 0 }],
  ['one that is to be kept stays', false, sandbox({ keep: 'always' }), wasGraded],
  ['and goes when it has expired', true, sandbox({ keep: 'always', ...expired }), wasGraded],
  ['and goes when somebody asks for it', true, sandbox({ keep: 'always' }), wasGraded, { takeKept: true }],
  ['but not while its rollout runs', false, sandbox({ keep: 'always' }), open, { takeKept: true }],
  ['one that is to be kept on failure stays after a failure', false, sandbox({ keep: 'on-failure' }), hasFailed],
  ['and where nobody can tell how it ended', false, sandbox({ keep: 'on-failure' }), unknown],
  ['but goes after a grade', true, sandbox({ keep: 'on-failure' }), wasGraded],
  ['and after it was cancelled', true, sandbox({ keep: 'on-failure' }), { state: 'closed', outcome: 'cancelled' }],
  ['one of another namespace stays', false, sandbox({}), foreign],
  ['also where those that are kept are taken', false, sandbox({}), foreign, { takeKept: true }],
  ['and goes when it has expired: nobody else will take it', true, sandbox({ keep: 'always', ...expired }), foreign],
])('%s', (_sentence, goes, found, owner, policy = {}) => {
  expect(judgeSandbox(found, owner, { nowMs, ...policy }).remove).toBe(goes)
})

function open2(incarnation: number): Owner {
  return { state: 'open', incarnation }
}
