import { expect, test } from 'vitest'
import type { SystemPicture } from '../providers/contract/provider.ts'
import { systemChanges } from './system-changes.ts'

const picture = (marks: Record<string, string>, isCut = false): SystemPicture => ({
  paths: Object.entries(marks),
  isCut,
})

test('what was added, changed or removed is named, and not the folders that hold it', () => {
  const before = picture({ '/etc': '1', '/etc/kept': '1', '/etc/gone': '1', '/usr/bin': '1', '/usr/bin/sh': '1' })
  const now = picture({ '/etc': '2', '/etc/kept': '1', '/usr/bin': '1', '/usr/bin/sh': '2', '/usr/lib': '1' })
  expect(systemChanges(before, now)).toEqual(['/etc/gone', '/usr/bin/sh', '/usr/lib'])
  expect(systemChanges(before, before)).toEqual([])
})

test('what could not be looked through is not said to be unchanged', () => {
  const whole = picture({})
  for (const now of [undefined, picture({}, true)]) {
    expect(systemChanges(whole, now)).toEqual(['unknown: the system folders could not be looked through'])
  }
})

test('a hundred paths are named, and how many there are besides', () => {
  const many = Object.fromEntries(Array.from({ length: 250 }, (_, at) => [`/etc/${at}`, '1']))
  const changes = systemChanges(picture({}), picture(many))
  expect([changes.length, changes.at(-1)]).toEqual([101, '… and 150 more'])
})
