import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import { createFileStore } from '../../store/file-store.ts'
import { gradeFileKey } from '../../store/keys.ts'
import type { Store } from '../../store/store.ts'
import { rolloutResult } from '../fixtures/rollout-result.ts'
import { withoutFiles } from '../fixtures/without-files.ts'
import { jobReport } from './job-report.ts'
import { gradeLine, storeFixtureJob, testsLine, turnLines } from './report-fixture.ts'
import type { FixtureRollout } from './report-fixture.ts'

async function newStore(): Promise<Store> {
  const directory = await mkdtemp(join(tmpdir(), 'rollcall-report-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  return createFileStore(directory)
}

const passed: FixtureRollout = {
  result: rolloutResult({ task: 'a', rewards: { reward: 1 } }),
  trace: [...turnLines(0, 'ls -la', 'two files'), gradeLine(1)],
}
const lost: FixtureRollout = {
  result: rolloutResult({ task: 'b', failure: { code: 'sandbox-lost', message: 'The sandbox died.' } }),
  trace: turnLines(0, 'sleep 9', ''),
}

/** Text of the page as a reader sees it, one line. */
function textOf(page: string): string {
  const body = page.slice(page.indexOf('<main>'), page.indexOf('</main>'))
  return body.replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ')
}

test('a report holds the numbers, the failures with who must act, and every trace with its grade', async () => {
  const store = await newStore()
  const grade = { rewards: { reward: 1 }, integrity: 'clean' as const, execs: [], startedAt: '', finishedAt: '' }
  await storeFixtureJob(store, [{ ...passed, grade: { ...grade, processes: ['sleep 4711'] } }, lost], {
    tags: { a: ['easy'] },
  })
  const { html, ...rest } = await jobReport(store, 'j')
  expect(rest).toEqual({ rollouts: 2, unlisted: 0, cutTraces: 0, finished: true })
  const text = textOf(html)
  for (const part of ['Mean reward 1.000', 'Passed 1/1', 'sandbox-lost 1 sandbox', 'The sandbox died.', 'easy'])
    expect(text).toContain(part)
  for (const part of ['Turn 0', ' ls -la ', ' two files ', 'exit 0 1.2 s', 'Grade: 1.000, clean', 'sleep 4711'])
    expect(text).toContain(part)
})

test('the same job gives the same file', async () => {
  const store = await newStore()
  await storeFixtureJob(store, [passed, lost])
  expect(await jobReport(store, 'j')).toEqual(await jobReport(store, 'j'))
})

test('what counts as passed may be said', async () => {
  const store = await newStore()
  const half = rolloutResult({ task: 'a', rewards: { reward: 0.5 } })
  await storeFixtureJob(store, [{ ...passed, result: half }])
  expect(textOf((await jobReport(store, 'j')).html)).toContain('Passed 0/1')
  expect(textOf((await jobReport(store, 'j', { passReward: 0.5 })).html)).toContain('Passed 1/1')
})

test('of a job that runs, what has ended so far, and it says so', async () => {
  const store = await newStore()
  await storeFixtureJob(store, [passed], { finished: false })
  const { html, finished } = await jobReport(store, 'j')
  expect(finished).toBe(false)
  expect(textOf(html)).toContain('The job has not ended')
})

test('an unknown job is one sentence', async () => {
  await expect(jobReport(await newStore(), 'nope')).rejects.toMatchObject({ code: 'configuration-invalid' })
})

const hostile = `</script><script>alert(1)</script><img src=x onerror="alert('2')">`

test('whatever an agent, a task or a test wrote is text: markup, control characters, halves of characters', async () => {
  const store = await newStore()
  const result = {
    ...rolloutResult({ task: 'a', failure: { code: 'agent-failed', message: `${hostile}\u0000\u202e` } }),
    sandbox: { provider: 'local', name: hostile, place: hostile, image: hostile },
  }
  const output = `${hostile}\u001b[31mred\u0000\u202Eback\uD800 tab\there\r\nnext`
  await storeFixtureJob(store, [{ result, trace: turnLines(0, hostile, output) }], { tags: { a: [hostile] } })
  const { html } = await jobReport(store, 'j')
  const body = html.slice(html.indexOf('<main>'))
  expect(body).not.toMatch(/<img|<script>alert|onerror="/)
  // oxlint-disable-next-line no-control-regex -- none may be left
  expect(body.slice(0, body.indexOf('</main>'))).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u202e\ud800-\udfff]/)
  expect(body).toContain('\\e[31mred\\x00\\u202eback\ufffd tab\there\nnext')
})

test.each([
  ['files', (store: Store) => store],
  ['objects elsewhere', withoutFiles],
])('of an output of 100 MB there are beginning and end, and how much is missing; a store of %s', async (_, view) => {
  const store = await newStore()
  const key = gradeFileKey({ job: 'j', rollout: passed.result.name, incarnation: 1, phase: 2, name: 'test-stdout.txt' })
  const chunk = Buffer.alloc(1_000_000, 'ä')
  await store.putOnce(
    key,
    Readable.from([Buffer.from('begin'), ...Array<Buffer>(100).fill(chunk), Buffer.from('-end')]),
  )
  await storeFixtureJob(store, [{ ...passed, trace: [testsLine(key, 100_000_009), gradeLine(1)] }])
  const { html } = await jobReport(view(store), 'j')
  expect(html.length).toBeLessThan(400_000)
  const text = textOf(html)
  expect(text).toMatch(/begin[ä]+ … 99,992,\d{3} bytes left out … [ä]+-end/)
})

test('a long trace is cut in the middle: its beginning and its grade are there, and how much is not', async () => {
  const store = await newStore()
  const turns = Array.from({ length: 400 }, (_, turn) => turnLines(turn, `echo ${turn}`, 'x'.repeat(1000)))
  await storeFixtureJob(store, [{ ...passed, trace: [...turns.flat(), gradeLine(1)] }])
  const { html, cutTraces } = await jobReport(store, 'j', { bounds: { trace: 100_000 } })
  const text = textOf(html)
  expect(cutTraces).toBe(1)
  expect(text).toContain('Turn 0')
  expect(text).toContain('Turn 399')
  expect(text).toContain('Grade: 1.000')
  expect(text).toMatch(/\d+ more calls, commands and turns are left out here: file:/)
  expect(html.length).toBeLessThan(450_000)
})

test('a job of many rollouts gives a file that opens; those that failed have their traces first', async () => {
  const store = await newStore()
  const trace = Array.from({ length: 20 }, (_, turn) => turnLines(turn, `echo ${turn}`, 'x'.repeat(5000))).flat()
  const many = Array.from({ length: 60 }, (_, attempt) => ({
    result: rolloutResult({ task: 'a', attempt: attempt + 1, rewards: { reward: 1 } }),
    trace,
  }))
  await storeFixtureJob(store, [...many, { ...lost, trace }])
  const bounds = { traces: 500_000, leastTrace: 20_000, rollouts: 50 }
  const { html, rollouts, unlisted, cutTraces } = await jobReport(store, 'j', { bounds })
  expect({ rollouts, unlisted, cutTraces }).toEqual({ rollouts: 61, unlisted: 11, cutTraces: 50 })
  expect(html.length).toBeLessThan(1_200_000)
  const text = textOf(html)
  expect(text).toContain('11 more rollouts are not in this file')
  expect(text).toContain('Its trace is left out')
  const failed = text.slice(text.indexOf('b.oracle.1 sandbox-lost'))
  expect(failed).toContain('Turn 0')
})

test('the file asks for nothing: no address in it but the policy that forbids all', async () => {
  const store = await newStore()
  await storeFixtureJob(store, [passed])
  const { html } = await jobReport(store, 'j')
  const markup = html.replaceAll(/<script>[\s\S]*?<\/script>/g, '')
  expect(markup).not.toMatch(/(src|href)="(?!#)|url\(|@import|<link|<iframe/)
  expect(markup).toContain('default-src &#39;none&#39;')
  expect(html).not.toContain('sourceMappingURL')
  expect(html.match(/<\/script/g)).toHaveLength(2)
})
