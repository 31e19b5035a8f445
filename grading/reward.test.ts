import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
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
  ['reward.json', 'null'],
  ['reward.json', '{}'],
  ['reward.json', '{"reward": "1"}'],
  ['reward.json', '{"reward": null}'],
  ['reward.json', '{"reward": {"a": 1}}'],
  ['reward.json', '{"reward": 1e999}'],
  ['reward.txt', '0'.repeat(65_537)],
])('%s with %j is a grading failure, never a reward', (name, content) => {
  expect(() => parse(name, content)).toThrow(expect.objectContaining({ code: 'reward-invalid' }))
})

test('no file is a failure of its own, and so is one that is not regular', () => {
  expect(() => parseReward(Buffer.from('missing\n'))).toThrow(expect.objectContaining({ code: 'reward-missing' }))
  expect(() => parse('reward.txt:irregular', '')).toThrow(expect.objectContaining({ code: 'reward-invalid' }))
})

test('64 KiB are not too much', () => {
  expect(parse('reward.txt', '0'.repeat(65_536))).toEqual({ reward: 0 })
})

/** What the script prints of a folder that a command has filled. */
async function printed(fill: string): Promise<string> {
  const folder = await temporaryFolder('reward')
  const script = `cd ${folder}\n${fill}\n${readRewardScript.replace('/logs/verifier', folder)}`
  return (await promisify(execFile)('sh', ['-c', script])).stdout
}

test('reward.json beats reward.txt, and what is no regular file is no reward', async () => {
  expect(await printed('echo 1 >reward.txt; echo "{}" >reward.json')).toBe('reward.json\n{}\n')
  expect(await printed('echo 1 >reward.txt')).toBe('reward.txt\n1\n')
  expect(await printed('echo 1 >elsewhere; ln -s elsewhere reward.txt')).toBe('reward.txt:irregular\n')
  expect(await printed('ln -s nowhere reward.json; echo 1 >reward.txt')).toBe('reward.json:irregular\n')
  expect(await printed('mkdir reward.json')).toBe('reward.json:irregular\n')
  expect(await printed('mkfifo reward.txt')).toBe('reward.txt:irregular\n')
})

test('no more of a file is read than tells that it is too large', async () => {
  const text = await printed('head -c 100000 /dev/zero >reward.txt')
  expect(() => parseReward(Buffer.from(text))).toThrow('is larger than 65536 bytes')
})

test('the script prints what it found', async () => {
  const { stdout } = await promisify(execFile)('sh', ['-c', readRewardScript])
  expect(stdout).toBe('missing\n')
})
