import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFileStore } from '../../store/file-store.ts'
import { rolloutResult } from '../fixtures/rollout-result.ts'
import { jobReport } from './job-report.ts'
import { gradeLine, storeFixtureJob, turnLines } from './report-fixture.ts'
import type { FixtureRollout } from './report-fixture.ts'

/** The report in a real browser, which says in the DOM that its script ran to the end. */

let home = ''
/** Addresses that anything in the browser asked for: all of its requests go to this proxy. */
const asked: string[] = []
const proxy = createServer((socket) => {
  socket.on('error', () => undefined)
  socket.on('data', (data) => {
    asked.push(String(data).split('\r\n')[0] ?? '')
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
  })
})

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'rollcall-chromium-'))
  await new Promise<void>((resolve) => {
    proxy.listen(0, '127.0.0.1', resolve)
  })
})

afterAll(async () => {
  proxy.close()
  await rm(home, { recursive: true, force: true })
})

async function fileOf(name: string, rollouts: readonly FixtureRollout[]): Promise<string> {
  const store = createFileStore(join(home, name))
  await storeFixtureJob(store, rollouts, { tags: { easy: ['flask'] } })
  const path = join(home, `${name}.html`)
  await writeFile(path, (await jobReport(store, 'j')).html)
  return path
}

/** The document after its scripts have run. */
async function opened(path: string, hash = ''): Promise<string> {
  const { port } = proxy.address() as AddressInfo
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    `--user-data-dir=${join(home, 'profile')}`,
    `--proxy-server=http://127.0.0.1:${port}`,
    '--proxy-bypass-list=<-loopback>',
  ]
  const address = `${pathToFileURL(path).href}${hash}`
  const { stdout } = await execa('chromium', [...flags, '--dump-dom', address], { timeout: 60_000 })
  return stdout
}

/** Names of the rollouts that are shown, in order. */
function shown(dom: string): string[] {
  const items = dom.match(/<details class="rollout"[^>]*>/g) ?? []
  return items
    .filter((item) => !/ hidden(=|>|\s)/.test(item))
    .map((item) => /data-rollout="([^"]*)"/.exec(item)?.[1] ?? '')
}

const markup = `</script><script>document.title='owned'</script><img src="http://report.test/x.png" onerror="document.title='owned'">
<link rel="stylesheet" href="http://report.test/y.css"><iframe src="http://report.test/z"></iframe>`

const rollouts: readonly FixtureRollout[] = [
  {
    result: rolloutResult({ task: 'easy', rewards: { reward: 1 } }),
    trace: [...turnLines(0, markup, markup), gradeLine(1)],
  },
  { result: rolloutResult({ task: 'easy', attempt: 2, rewards: { reward: 0.5 } }), trace: [gradeLine(0.5)] },
  { result: rolloutResult({ task: 'hard', agent: 'nop', rewards: { reward: 0 } }), trace: [gradeLine(0)] },
  {
    result: rolloutResult({ task: 'hard', failure: { code: 'agent-failed', message: markup } }),
    trace: turnLines(0, 'x', '\u0000\u001b]0;owned\u0007'),
  },
]

function expectWhole(dom: string): void {
  expect(dom).toContain('data-report="ready"')
  expect(/<p id="script-error"[^>]*>[^<]*/.exec(dom)?.[0]).toBe('<p id="script-error" class="bad" hidden="">')
}

test('the script runs to its end without an error, nothing hostile runs, and nothing is asked for', async () => {
  const dom = await opened(await fileOf('whole', rollouts), '#r4')
  expectWhole(dom)
  expect(dom).toContain('<title>j – Rollcall</title>')
  expect(dom).not.toMatch(/<img|<iframe|<link/)
  expect(shown(dom)).toEqual(['easy.oracle.1', 'easy.oracle.2', 'hard.nop.1', 'hard.oracle.1'])
  expect(/<details class="rollout" id="r4"[^>]*>/.exec(dom)?.[0]).toContain(' open=""')
  // A canvas that Chart.js has drawn on has a size of its own.
  expect(dom.match(/<canvas[^>]*width="\d+"/g)?.length).toBeGreaterThan(2)
  expect(asked.filter((line) => line.includes('report.test'))).toEqual([])
})

test('filter and order stand in the address', async () => {
  const path = await fileOf('views', rollouts)
  const views = {
    '#state=graded&sort=reward': ['hard.nop.1', 'easy.oracle.2', 'easy.oracle.1'],
    '#q=FLASK&agent=oracle&sort=-reward': ['easy.oracle.1', 'easy.oracle.2'],
  }
  for (const [hash, names] of Object.entries(views)) {
    const dom = await opened(path, hash)
    expectWhole(dom)
    expect({ hash, names: shown(dom) }).toEqual({ hash, names })
    expect(dom).toContain(`${names.length} of 4 rollouts`)
  }
})

test('a job of 500 rollouts with long traces gives a file that opens', async () => {
  const trace = Array.from({ length: 6 }, (_, turn) => turnLines(turn, `echo ${turn}`, 'output '.repeat(2000))).flat()
  const many = Array.from({ length: 500 }, (_, index) => ({
    result: rolloutResult({
      task: `task-${index % 100}`,
      attempt: 1 + Math.floor(index / 100),
      rewards: { reward: index % 2 },
    }),
    trace: [...trace, gradeLine(index % 2)],
  }))
  const path = await fileOf('large', many)
  expect((await stat(path)).size).toBeLessThan(30_000_000)
  const dom = await opened(path, '#q=task-7.')
  expectWhole(dom)
  expect(dom).toContain('5 of 500 rollouts')
})
