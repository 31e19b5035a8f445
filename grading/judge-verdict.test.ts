import { expect, test } from 'vitest'
import { judgeRewards, parseVerdict } from './judge-verdict.ts'

const criteria = [
  { name: 'correct', description: 'It is 42.', weight: 3 },
  { name: 'polite', description: 'It says please.', weight: 1 },
]
const correct = { criterion: 'correct', reason: 'It is.', score: 1 }
const polite = { criterion: 'polite', reason: 'Hardly.', score: 0.2 }

const parse = (...verdicts: readonly object[]) => parseVerdict(JSON.stringify({ verdicts }), criteria)

test('a verdict has each criterion once, whatever their order, also in a fence', () => {
  const whole = parse(polite, correct)
  expect(whole).toEqual({
    criteria: [
      { name: 'correct', weight: 3, score: 1, reason: 'It is.' },
      { name: 'polite', weight: 1, score: 0.2, reason: 'Hardly.' },
    ],
  })
  const fenced = `\`\`\`json\n${JSON.stringify({ verdicts: [correct, polite] })}\n\`\`\`\n`
  expect(parseVerdict(fenced, criteria)).toEqual(whole)
})

test('a criterion that is missing, stands twice or is none of the task’s makes the answer no verdict', () => {
  expect(parse(correct)).toEqual({ problem: 'criterion polite: expected exactly one verdict' })
  expect(parse(correct, polite, { ...correct, score: 0 })).toEqual({
    problem: 'criterion correct: expected exactly one verdict',
  })
  const unknown = { ...correct, criterion: 'reward' }
  expect(parse(correct, polite, unknown)).toEqual({ problem: "criterion reward is none of the task's" })
})

test('a score beyond 0 to 1 and text that is no JSON are no verdict either', () => {
  expect(parse({ ...correct, score: 2 }, polite)).toMatchObject({
    problem: expect.stringMatching(/^verdicts\.0\.score: /),
  })
  expect(parseVerdict('It is fine.', criteria)).toMatchObject({ problem: expect.stringContaining('the answer: ') })
})

test('a long reason is cut', () => {
  const parsed = parse({ ...correct, reason: 'x'.repeat(10_000) }, polite)
  expect('criteria' in parsed && parsed.criteria[0]?.reason.length).toBe(4_000)
})

test('the reward is the mean by weight', () => {
  const given = criteria.map(({ name, weight }) => ({ name, weight, score: weight === 3 ? 1 : 0.2, reason: '' }))
  expect(judgeRewards(given)).toEqual({ reward: 0.8, correct: 1, polite: 0.2 })
})
