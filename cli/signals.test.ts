import { expect, test } from 'vitest'
import { Interrupts } from './signals.ts'

type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** What happens when signals come at these times. */
function receive(signals: readonly [Signal, atMs: number][], { canCancel = true } = {}): string[] {
  const happened: string[] = []
  let nowMs = 0
  const cancel = () => void happened.push(`cancel at ${nowMs}`)
  const leave = () => void happened.push(`leave at ${nowMs}`)
  const interrupts = new Interrupts({ ...(canCancel ? { cancel } : {}), leave }, () => nowMs)
  for (const [signal, atMs] of signals) {
    nowMs = atMs
    interrupts.receive(signal)
  }
  return happened
}

test('the first Ctrl-C cancels, the second leaves, a third does nothing', () => {
  const signals: [Signal, number][] = [
    ['SIGINT', 1000],
    ['SIGINT', 2000],
    ['SIGINT', 3000],
  ]
  expect(receive(signals)).toEqual(['cancel at 1000', 'leave at 2000'])
})

test('a Ctrl-C that npx passes on right after the terminal’s own is the same one', () => {
  const signals: [Signal, number][] = [
    ['SIGINT', 1000],
    ['SIGINT', 1020],
  ]
  expect(receive(signals)).toEqual(['cancel at 1000'])
})

test('a held Ctrl-C leaves in the end', () => {
  const signals = [0, 100, 200, 300, 400, 500].map((atMs): [Signal, number] => ['SIGINT', atMs])
  expect(receive(signals)).toEqual(['cancel at 0', 'leave at 300'])
})

test('SIGTERM is like Ctrl-C', () => {
  const signals: [Signal, number][] = [
    ['SIGTERM', 0],
    ['SIGTERM', 1000],
  ]
  expect(receive(signals)).toEqual(['cancel at 0', 'leave at 1000'])
})

test('a closed terminal leaves the job alone, also right after a Ctrl-C', () => {
  expect(receive([['SIGHUP', 0]])).toEqual(['leave at 0'])
  expect(
    receive([
      ['SIGINT', 0],
      ['SIGHUP', 10],
    ]),
  ).toEqual(['cancel at 0', 'leave at 10'])
})

test('where nothing can be cancelled the first one leaves', () => {
  expect(receive([['SIGINT', 0]], { canCancel: false })).toEqual(['leave at 0'])
})
