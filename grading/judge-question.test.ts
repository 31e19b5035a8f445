import { expect, test } from 'vitest'
import { judgeQuestion } from './judge-question.ts'

const judge = {
  model: 'openai/a',
  criteria: [{ name: 'correct', description: 'It is 42.', weight: 1 }],
  transcript: true,
  files: [],
}
const call = { tool: 'bash', args: { command: 'echo 42' } }
const turn = (number: number, output: string) => ({
  number,
  decision: { calls: [call], message: `turn ${number}` },
  results: [{ output }],
})

test('of a long instruction, output and transcript the beginning and the end are shown', () => {
  const long = (letter: string, length: number) => `<${letter.repeat(length)}>`
  const material = {
    instruction: long('i', 100_000),
    turns: Array.from({ length: 40 }, (_, index) => turn(index, long('o', 9_000))),
    files: [],
    mark: 'MARK',
  }
  const { prompt } = judgeQuestion(judge, material as unknown as Parameters<typeof judgeQuestion>[1])
  expect(prompt.length).toBeLessThan(60_000 + 120_000 + 1_000)
  expect(prompt).toMatch(/<iii[^]*\[… 40002 characters left out …\][^]*iii>\nEND MARK/)
  expect(prompt).toMatch(/result <ooo[^]*\[… 5002 characters left out …\][^]*ooo>/)
  expect(prompt).toContain('[turn 0]\nturn 0\ncall bash {"command":"echo 42"}')
  expect(prompt.trimEnd()).toMatch(/ooo>\nEND MARK$/)
})
