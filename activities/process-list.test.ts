import { expect, test } from 'vitest'
import { leftBehind, parseProcesses } from './process-list.ts'

/** As seen in a container: init, supervisor with its timer, an attachment, the lister's supervisor, the lister. */
const docker = [
  '1 0 1 docker-init',
  '6 1 1 sh',
  '16 6 1 sh',
  '17 16 1 sleep',
  '18 0 18 sh',
  '52 1 18 sh',
  '53 52 53 sh',
]
/** As seen in bubblewrap: the attach loop has a session of its own below the supervisor. */
const local = ['1 0 1 sh', '3 1 1 sh', '10 1 1 sh', '11 10 11 sh', '15 1 15 sh', '44 1 15 sh', '53 44 53 sh']

const found = (lines: readonly string[]) =>
  leftBehind(parseProcesses(['53', ...lines].join('\n'))).map(({ pid }) => pid)

test.each([{ lines: docker }, { lines: local }])('Rollcall’s own processes are not left behind', ({ lines }) => {
  expect(found(lines)).toEqual([])
})

test.each([{ lines: docker }, { lines: local }])(
  'an orphan and its children are, whatever they call themselves',
  (at) => {
    expect(found([...at.lines, '46 1 46 sh', '47 46 46 sleep', '48 1 45 docker-init'])).toEqual([46, 47, 48])
  },
)

test('a line that is no process is passed over', () => {
  expect(parseProcesses('9\nx\n\n12 1 12 a b\n')).toEqual({
    lister: 9,
    processes: [{ pid: 12, parent: 1, session: 12, command: 'a b' }],
  })
})
