import { expect, test } from 'vitest'
import { NodeRegistry } from '../compute/node-registry.ts'
import { nothingKnown } from '../compute/node.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { atNode } from './node-choice.ts'

const settings = { host: '10.0.0.7', user: 'me' }
const report = { ...nothingKnown, cores: 64 }

async function withBox() {
  const stateDirectory = await temporaryFolder('nodes')
  const registry = new NodeRegistry(stateDirectory)
  await registry.add({ name: 'box', type: 'ssh', settings, added: '', report })
  return { stateDirectory, registry }
}

const box = { provider: { name: 'ssh', options: settings } }

test('a node stands for its provider and settings, by name or by what it has', async () => {
  const at = await withBox()
  expect(await atNode({ node: 'box', attempts: 2 }, at)).toEqual({ ...box, attempts: 2 })
  expect(await atNode({ node: 'cores>=64' }, at)).toEqual(box)
  await expect(atNode({ node: 'cores>=65' }, at)).rejects.toThrow(/box: cores is 64/)
  await expect(atNode({ node: 'bax' }, at)).rejects.toThrow(/expected one of box/)
})

test('the default node is taken where neither node nor provider is named', async () => {
  const at = await withBox()
  expect(await atNode({}, at)).toEqual({})
  await at.registry.setDefault('box')
  expect(await atNode({}, at)).toEqual(box)
  expect(await atNode({ provider: 'local' }, at)).toEqual({ provider: 'local' })
})

test('a node and a provider together are refused', async () => {
  await expect(atNode({ node: 'box', provider: 'docker' }, await withBox())).rejects.toThrow(/without a provider/)
})
