import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { nothingKnown } from './node.ts'
import type { ComputeNode } from './node.ts'
import { NodeRegistry } from './node-registry.ts'
import { Nodes } from './nodes.ts'

const node = (name: string): ComputeNode => ({ name, type: 'local', settings: {}, added: '2026-01-02T03:04:05.000Z' })

test('twenty processes’ nodes are all there', async () => {
  const folder = await temporaryFolder('nodes')
  const names = Array.from({ length: 20 }, (_none, index) => `node-${index}`)
  await Promise.all(names.map((name) => new NodeRegistry(folder).add(node(name))))
  const listed = await new NodeRegistry(folder).list()
  expect(listed.map(({ name }) => name).toSorted()).toEqual(names.toSorted())
  expect((await stat(join(folder, 'nodes.json'))).mode & 0o777).toBe(0o600)
})

test('a name is taken once, and must be one', async () => {
  const registry = new NodeRegistry(await temporaryFolder('nodes'))
  await registry.add(node('box'))
  await expect(registry.add(node('box'))).rejects.toThrow(/Node box is there already/)
  await expect(registry.add(node('Box'))).rejects.toThrow(/"Box": expected 1 to 63 of a-z/)
  await expect(registry.get('bax')).rejects.toThrow(/"bax": expected one of box/)
})

test('the default goes with its node', async () => {
  const registry = new NodeRegistry(await temporaryFolder('nodes'))
  await expect(registry.setDefault('box')).rejects.toThrow(/none has been added/)
  await registry.add(node('box'))
  await registry.setDefault('box')
  expect(await registry.default()).toEqual(node('box'))
  await registry.remove('box')
  expect(await registry.default()).toBeUndefined()
  expect(await registry.list()).toEqual([])
})

test('what was found replaces an earlier problem, a problem leaves what was found', async () => {
  const registry = new NodeRegistry(await temporaryFolder('nodes'))
  await registry.add(node('box'))
  await registry.keep('box', { problem: 'away' })
  await registry.keep('box', { report: nothingKnown, lastSeen: '2026-01-02T03:04:06.000Z' })
  expect(await registry.get('box')).toEqual({
    ...node('box'),
    report: nothingKnown,
    lastSeen: '2026-01-02T03:04:06.000Z',
  })
  await registry.keep('box', { problem: 'away again' })
  expect(await registry.get('box')).toMatchObject({ report: nothingKnown, problem: 'away again' })
})

test('a file that is no list of nodes is named, and left as it is', async () => {
  const folder = await temporaryFolder('nodes')
  const file = join(folder, 'nodes.json')
  await writeFile(file, '{"version": 2}')
  const registry = new NodeRegistry(folder)
  await expect(registry.add(node('box'))).rejects.toThrow(file)
  expect(await readFile(file, 'utf8')).toBe('{"version": 2}')
})

test('this machine is asked before it is added; one that does not answer is not added', async () => {
  const nodes = new Nodes({ env: process.env, stateDirectory: await temporaryFolder('nodes') })
  const { report } = await nodes.add({ name: 'here', type: 'local' })
  expect(report).toMatchObject({ os: 'Linux', cores: expect.any(Number), memoryMiB: expect.any(Number) })
  const nobody = { host: '127.0.0.1', port: '1', user: 'me', fingerprint: `SHA256:${'A'.repeat(43)}`, key: '/dev/null' }
  await expect(nodes.add({ name: 'nobody', type: 'ssh', settings: nobody })).rejects.toThrow(/could not be reached/)
  expect((await nodes.registry.list()).map(({ name }) => name)).toEqual(['here'])
  await nodes.add({ name: 'nobody', type: 'ssh', settings: nobody, probe: false })
  expect((await nodes.probe('nobody')).problem).toMatch(/could not be reached/)
})
