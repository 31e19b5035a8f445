import { expect, test } from 'vitest'
import type { Ownership } from '../contract/provider.ts'
import { labelFilter, labelsOf, readOwnership, readPlace } from './docker-labels.ts'

const ownership: Ownership = {
  namespace: 'n',
  job: 'j',
  workflow: 'w',
  role: 'verifier',
  incarnation: 2,
  owner: 'o',
  spec: 's',
  keep: 'on-failure',
  expires: 1_900_000_000_000,
}

test('what is written as labels is read back the same', () => {
  const labels = labelsOf(ownership, { workdir: '/app', user: 'agent:staff' })
  expect(readOwnership(labels)).toEqual(ownership)
  expect(readPlace(labels)).toEqual({ workdir: '/app', user: 'agent:staff' })
})

test('a container without our labels, or with broken ones, is not ours', () => {
  expect(readOwnership({})).toBeUndefined()
  expect(readOwnership({ ...labelsOf(ownership, { workdir: '/' }), 'rollcall.role': 'other' })).toBeUndefined()
})

test('a filter always asks for our containers, and for each label that is given', () => {
  expect(labelFilter({})).toEqual(['rollcall.owner'])
  expect(labelFilter({ job: 'j', incarnation: 2 })).toEqual([
    'rollcall.owner',
    'rollcall.job=j',
    'rollcall.incarnation=2',
  ])
})
