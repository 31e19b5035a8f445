import { describe, expect, test } from 'vitest'
import { parseChoice, parseCount, parseCpus, parseDurationMs, parseMemoryMiB, parsePairs } from './parse-values.ts'

test.each([
  ['90', 90_000],
  ['90s', 90_000],
  ['1.5s', 1500],
  ['15m', 900_000],
  ['1h30m', 5_400_000],
  ['250ms', 250],
])('duration %s is %d ms', (value, durationMs) => {
  expect(parseDurationMs('--agent-timeout', value)).toBe(durationMs)
})

test.each([
  ['512M', 512],
  ['512', 512],
  ['2G', 2048],
  ['1.5GiB', 1536],
  ['2gb', 2048],
  ['2048K', 2],
])('memory %s is %d MiB', (value, memoryMiB) => {
  expect(parseMemoryMiB('--memory', value)).toBe(memoryMiB)
})

describe('a value that is wrong is refused with the option, the value and what was expected', () => {
  test.each([
    [() => parseCount('--attempts', '0'), '--attempts is "0": expected a whole number of at least 1'],
    [() => parseCount('-k', '1.5', { max: 9 }), '-k is "1.5": expected a whole number from 1 to 9'],
    [() => parseCount('-k', '10', { max: 9 }), '-k is "10"'],
    [() => parseCount('-k', '', {}), '-k is ""'],
    [() => parseCpus('--cpus', '0'), '--cpus is "0": expected a number of CPUs above 0'],
    [() => parseCpus('--cpus', '-1'), '--cpus is "-1"'],
    [() => parseMemoryMiB('--memory', '1K'), '--memory is "1K": expected a size of at least 1 MiB'],
    [() => parseMemoryMiB('--memory', '2 GB'), '--memory is "2 GB"'],
    [() => parseDurationMs('--agent-timeout', '0'), '--agent-timeout is "0": expected a duration above 0'],
    [() => parseDurationMs('--agent-timeout', '5 minutes'), '--agent-timeout is "5 minutes"'],
    [
      () => parseChoice('--keep', 'sometimes', ['never', 'always']),
      '--keep is "sometimes": expected one of never, always',
    ],
    [() => parsePairs('--image-map', ['python'], 'FROM=TO'), '--image-map is "python": expected FROM=TO'],
    [() => parsePairs('--agent-arg', ['=x']), '--agent-arg is "=x": expected KEY=VALUE'],
    [() => parsePairs('--agent-arg', ['a=1', 'a=2']), '--agent-arg is "a=2": expected a only once'],
  ])('%#', (parse, message) => {
    expect(parse).toThrow(
      expect.objectContaining({ code: 'configuration-invalid', message: expect.stringContaining(message) }),
    )
  })
})

test('values of pairs may be empty and may hold =', () => {
  expect(parsePairs('--agent-arg', ['a=', 'b=c=d'])).toEqual({ a: '', b: 'c=d' })
})
