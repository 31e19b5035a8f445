import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { readBuildTrace } from './build-trace.ts'

/** Trace messages of one build by dockerd 20.10.24. */
const captured = z
  .array(z.string())
  .parse(JSON.parse(await readFile(new URL('fixtures/build-trace.json', import.meta.url), 'utf8')))

test('a build’s lines are the steps that begin and what their commands print, as text', () => {
  const lines = captured.flatMap(readBuildTrace)
  expect(lines).toContainEqual(expect.stringMatching(/^\[1\/2\] FROM docker.io\/rollcall-test\/busybox/))
  expect(lines).toContainEqual(expect.stringMatching(/^\[2\/2\] RUN echo/))
  expect(lines).toContainEqual(expect.stringMatching(/^grün \d+$/))
  expect(lines).toContain('trouble')
  expect(lines.some((line) => line.includes('[internal]'))).toBe(false)
})

test('an empty trace has no lines', () => {
  expect(readBuildTrace('')).toEqual([])
})
