import { expect, test } from 'vitest'
import { fullImageName, mapImage } from './image-names.ts'

test.each([
  ['python', 'docker.io/library/python:latest'],
  ['python:3.12-slim', 'docker.io/library/python:3.12-slim'],
  ['team/tool', 'docker.io/team/tool:latest'],
  ['mirror:5000/python', 'mirror:5000/python:latest'],
  ['ghcr.io/a/b:c', 'ghcr.io/a/b:c'],
  ['localhost/a', 'localhost/a:latest'],
  ['python@sha256:00', 'docker.io/library/python@sha256:00'],
])('%s is %s in full', (name, full) => {
  expect(fullImageName(name)).toBe(full)
})

test('a map replaces the same image however it is written, and nothing else', () => {
  const imageMap = { 'docker.io/library/python:3.12-slim': 'a', debian: 'b' }
  expect(mapImage(imageMap, 'python:3.12-slim')).toBe('a')
  expect(mapImage(imageMap, 'debian:latest')).toBe('b')
  expect(mapImage(imageMap, 'debian:12')).toBe('debian:12')
})
