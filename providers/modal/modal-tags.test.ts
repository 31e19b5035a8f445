import { expect, test } from 'vitest'
import { labelTags, readTags, tagsOf } from './modal-tags.ts'

const ownership = {
  namespace: 'n',
  job: 'j',
  workflow: 'j.t.a.1',
  role: 'verifier',
  incarnation: 2,
  owner: 'o',
  spec: 's',
  keep: 'on-failure',
  expires: 1_800_000_000_000,
} as const

test('what was tagged is read again, place and all', () => {
  const place = { name: 'x', image: 'debian (im-1)', createdMs: 5, workdir: '/app', user: 'nobody', isReady: true }
  expect(readTags(tagsOf({ ownership, place }))).toEqual({ ownership, place })
})

test('labels that are not given are no tags', () => {
  expect(labelTags({ job: 'j', incarnation: 2 })).toEqual({ rollcall_job: 'j', rollcall_incarnation: '2' })
})

test('what Rollcall did not tag, or not wholly, is nobody’s', () => {
  const tags = tagsOf({ ownership, place: { name: 'x', image: 'i', createdMs: 5 } })
  expect(readTags({})).toBeUndefined()
  expect(readTags({ ...tags, rollcall_place: 'not JSON' })).toBeUndefined()
  expect(readTags({ ...tags, rollcall_role: 'king' })).toBeUndefined()
})
