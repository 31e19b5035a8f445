import { expect, test } from 'vitest'
import { expandWord } from './dockerfile-words.ts'

const variables = { A: 'a', EMPTY: '', PATH: '/bin' }

test.each([
  ['plain', 'plain'],
  ['$A/${A}x', 'a/ax'],
  ['"two words $A"', 'two words a'],
  [`'$A'`, '$A'],
  ['\\$A', '$A'],
  ['a\\ b', 'a b'],
  ['$UNKNOWN|${UNKNOWN}', '|'],
  ['${UNKNOWN:-x}${EMPTY:-y}${EMPTY-z}${A:-w}', 'xya'],
  ['${A:+yes}${EMPTY:+no}${EMPTY+yes}', 'yesyes'],
  ['$', '$'],
  ['/opt:$PATH', '/opt:/bin'],
])('%s becomes %s', (word, expanded) => {
  expect(expandWord(word, variables)).toBe(expanded)
})

test.each(['"open', "it's", '${A#x}', '${A'])('%s is refused', (word) => {
  expect(() => expandWord(word, variables)).toThrow()
})
