import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { parseReward, readRewardScript } from './reward.ts'

const parse = (name: string, content: string) => parseReward(Buffer.from(`${name}\n${content}`))

test('reward.txt holds one number, the reward named reward', () => {
  expect(parse('reward.txt', '0.5\n')).toEqual({ reward: 0.5 })
  expect(parse('reward.txt', ' 1')).toEqual({ reward: 1 })
})

test('reward.json holds a flat object of numbers', () => {
  expect(parse('reward.json', '{"reward": 1, "style": 0.25}')).toEqual({ reward: 1, style: 0.25 })
})

test.each([
  ['reward.txt', ''],
  ['reward.txt', 'nan'],
  ['reward.txt', 'Infinity'],
  ['reward.txt', '1 2'],
  ['reward.txt', '\u001b[31m1'],
  ['reward.json', ''],
  ['reward.json', '{'],
  ['reward.json', '[1]'],
  ['reward.json', '1'],
  ['reward.json', '{}'],
  ['reward.json', '{"reward": "1"}'],
  ['reward.json', '{"reward": null}'],
  ['reward.json', '{"reward": {"a": 1}}'],
  ['reward.json', '{"reward": 1e999}'],
  ['reward.txt', '0'.repeat(70_000)],
])('%s with %j is a grading failure, never a reward', (name, content) => {
  expect(() => parse(name, content)).toThrow(expect.objectContaining({ code: 'reward-invalid' }))
})

test('no file is a failure of its own, and so is one that is not regular', () => {
  expect(() => parseReward(Buffer.from('missing\n'))).toThrow(expect.objectContaining({ code: 'reward-missing' }))
  expect(() => parse('reward.txt:irregular', '')).toThrow(expect.objectContaining({ code: 'reward-invalid' }))
})

test('the script prints what it found', async () => {
  const { stdout } = await promisify(execFile)('sh', ['-c', readRewardScript])
  expect(stdout).toBe('missing\n')
})
