import { expect, test } from 'vitest'
import { parseTurns } from './script-turns.ts'

test.each([
  ['{tool: bsh, args: {command: ls}}', 'turns.0.calls.0.tool is "bsh": expected one of bash, python, read_file'],
  ['{tool: bash, args: {cmd: ls}}', 'turns.0.calls.0.args of bash: command'],
  ['{tool: write_file, args: {path: a}}', 'turns.0.calls.0.args of write_file: content'],
])('a turn that could not be played is refused before anything starts: %s', (call, message) => {
  expect(() => parseTurns(`turns: [{calls: [${call}]}]`, 'turns.yaml')).toThrow(
    expect.objectContaining({ code: 'agent-invalid', message: expect.stringContaining(message) }),
  )
})

test('turns that can be played are', () => {
  expect(parseTurns('turns: [{calls: [{tool: bash, args: {command: ls}, timeout_ms: 5}]}]', 'turns.yaml')).toEqual([
    { calls: [{ tool: 'bash', args: { command: 'ls' }, timeoutMs: 5 }] },
  ])
})
