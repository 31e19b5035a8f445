import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { parseUserNumbers, userNumbersScript } from './user-numbers.ts'

const numbersOf = (...users: string[]) =>
  parseUserNumbers(execFileSync('sh', ['-c', userNumbersScript(users)], { encoding: 'utf8' }))

test('a user is known by its number, whether it is named or numbered', () => {
  expect(numbersOf('root', '0', '00', 'nobody', 'nobody:nogroup', '65534')).toEqual([0, 0, 0, 65534, 65534, 65534])
})

test('a number needs no entry, a name that there is not has no number', () => {
  expect(numbersOf('4321', "it's nobody", 'nobody')).toEqual([4321, undefined, 65534])
})
