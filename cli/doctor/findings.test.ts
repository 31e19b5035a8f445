import { expect, test } from 'vitest'
import { diskFinding } from './examine-disk.ts'
import { formatFindings, isUsable } from './findings.ts'
import type { Finding } from './findings.ts'

const node: Finding = { name: 'Node', state: 'ok', detail: 'v24' }
const noDocker: Finding = {
  name: 'Docker',
  state: 'missing',
  detail: 'no Engine',
  remedy: 'start it',
  provider: 'docker',
}
const bubblewrap: Finding = { name: 'bubblewrap', state: 'ok', detail: '0.8', provider: 'local' }

test('without Docker, jobs can run with local and not with docker', () => {
  const findings = [node, noDocker, bubblewrap]
  expect(isUsable(findings)).toBe(true)
  expect(isUsable(findings, 'local')).toBe(true)
  expect(isUsable(findings, 'docker')).toBe(false)
  expect(formatFindings(findings, { color: false })).toBe(
    [
      'ok       Node        v24',
      'missing  Docker      no Engine',
      '                     → start it',
      'ok       bubblewrap  0.8',
      '',
      'Jobs can run here with --provider local.',
    ].join('\n'),
  )
})

test('a cloud is usable where its account is, and missing to nobody', () => {
  const noAccount: Finding = { name: 'Modal', state: 'note', detail: 'no token', provider: 'modal' }
  const account: Finding = { ...noAccount, state: 'ok', detail: 'app rollcall' }
  expect(isUsable([bubblewrap, noAccount])).toBe(true)
  expect(isUsable([bubblewrap, noAccount], 'modal')).toBe(false)
  expect(isUsable([bubblewrap, account], 'modal')).toBe(true)
  expect(isUsable([noDocker, { ...bubblewrap, state: 'missing' }, noAccount])).toBe(false)
})

test('what everything needs makes all unusable, a note does not', () => {
  expect(isUsable([{ name: 'Store', state: 'missing', detail: 'read-only' }, bubblewrap], 'local')).toBe(false)
  expect(isUsable([{ name: 'Disk', state: 'note', detail: 'low' }, bubblewrap], 'local')).toBe(true)
})

test('with no provider at all nothing is usable', () => {
  expect(isUsable([noDocker, { ...bubblewrap, state: 'missing' }])).toBe(false)
})

test('a disk with little room is worth knowing; on a full one no job can run', () => {
  const stateOf = (freeBytes: number) => diskFinding(freeBytes, '/state').state
  expect([10 * 2 ** 30, 2 ** 30, 2 ** 20].map(stateOf)).toEqual(['ok', 'note', 'missing'])
  expect(isUsable([node, bubblewrap, diskFinding(2 ** 20, '/state')])).toBe(false)
})
