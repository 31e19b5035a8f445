import { expect, test } from 'vitest'
import { leftBehind, parseProcesses } from './process-list.ts'

const ours = [
  '1 0 /sbin/docker-init -- sh',
  '7 1 sh supervisor',
  '9 7 sleep 86400',
  '20 0 sh attach',
  '31 20 sh -c list',
]

test('the supervisor, its children and attachments from outside are not left behind', () => {
  expect(leftBehind(parseProcesses(ours.join('\n')))).toEqual([])
})

test('an orphan and its children are left behind, whatever they call themselves', () => {
  const text = [...ours, '50 1 sh supervisor', '51 50 sleep 9'].join('\n')
  expect(leftBehind(parseProcesses(text)).map(({ pid }) => pid)).toEqual([50, 51])
})

test('a line that is no process is passed over', () => {
  expect(parseProcesses('x\n\n12 1 a b\n')).toEqual([{ pid: 12, parent: 1, command: 'a b' }])
})
