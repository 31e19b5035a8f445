import { expect, test } from 'vitest'
import { nothingKnown } from './node.ts'
import type { ComputeNode, NodeReport } from './node.ts'
import { isRequirement, selectNode } from './requirement.ts'

const a100 = { name: 'NVIDIA A100-SXM4-40GB', vramMiB: 40_960 }
const t4 = { name: 'Tesla T4', vramMiB: 15_360 }

function node(name: string, report: Partial<NodeReport>, more: Partial<ComputeNode> = {}): ComputeNode {
  return { name, type: 'ssh', settings: {}, added: '', report: { ...nothingKnown, ...report }, ...more }
}

const nodes = [
  node('small', { gpus: [], cores: 4, architecture: 'x86_64', internet: false }),
  node('mixed', { gpus: [a100, t4], cores: 16, memoryMiB: 65_536 }),
  node('gone', { gpus: [a100, a100] }, { problem: 'no route' }),
  node('big', { gpus: [a100, a100], cores: 64, docker: '28.2.2' }),
  { ...node('new', {}), report: undefined } as unknown as ComputeNode,
]

test.each([
  ['gpus>=1', 'mixed'],
  ['gpus>=1,vram>=40', 'big'],
  ['vram>=16', 'big'],
  ['gpus=0', 'small'],
  ['cores>4', 'mixed'],
  ['cores>=4', 'small'],
  ['memory>=64', 'mixed'],
  ['cores<16', 'small'],
  ['docker=yes', 'big'],
  ['arch=x86_64', 'small'],
  ['internet=no', 'small'],
  [' gpus >= 2 , cores>16', 'big'],
  ['type!=docker', 'small'],
])('%s is %s', (requirement, name) => {
  expect(selectNode(nodes, requirement).name).toBe(name)
})

test.each([
  ['gpus>=3', /small: gpus is 0; mixed: gpus is 2; gone: it did not answer; big: gpus is 2; new: it was never asked/],
  ['disk>=1', /small: disk unknown/],
  ['gpu>=1', /"gpu>=1": expected FIELD>=VALUE with one of gpus, vram/],
  ['gpus>=many', /gpus>=many: expected a number/],
  ['docker>=yes', /docker>=yes: expected = or !=/],
  ['gpus>=1,', /"": expected FIELD/],
  ['constructor=1', /expected FIELD/],
])('%s is refused with the reason', (requirement, message) => {
  expect(() => selectNode(nodes, requirement)).toThrow(message)
})

test('without any node that is said', () => {
  expect(() => selectNode([], 'gpus>=1')).toThrow(/none has been added/)
})

test('a name is no requirement', () => {
  expect(['gpu-box', 'gpus>=1', 'docker=yes'].map(isRequirement)).toEqual([false, true, true])
})
