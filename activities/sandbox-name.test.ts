import { expect, test } from 'vitest'
import { execScope, gradingScope, sandboxName } from './sandbox-name.ts'

const identity = { namespace: 'n', rolloutId: 'My_Job.Some Task!.oracle.1', role: 'main', incarnation: 1 } as const

test('a sandbox name is short, readable and made of what every provider takes', () => {
  const names = [identity, { ...identity, rolloutId: 'x'.repeat(300) }, { ...identity, rolloutId: '…' }].map(
    sandboxName,
  )
  for (const name of names) expect(name).toMatch(/^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$/)
  expect(names[0]).toContain('some-task-oracle-1')
})

test('whatever tells sandboxes apart tells their names apart', () => {
  const others = [
    identity,
    { ...identity, namespace: 'm' },
    { ...identity, rolloutId: 'my-job.some-task.oracle.1' },
    { ...identity, role: 'verifier' as const },
    { ...identity, incarnation: 2 },
  ]
  expect(new Set(others.map(sandboxName)).size).toBe(others.length)
  expect(sandboxName(identity)).toBe(sandboxName({ ...identity }))
})

test('the scope of execs is a short plain word', () => {
  expect(execScope('j.a.oracle.1')).toMatch(/^[a-z0-9]{12}$/)
  expect(execScope('j.a.oracle.1')).not.toBe(execScope('j.a.oracle.2'))
})

test('a grading attempt has a scope of its own that nobody guesses without the owner nonce', () => {
  const attempt = { rolloutId: 'j.a.oracle.1', owner: 'o', phase: 2 }
  const scopes = [attempt, { ...attempt, owner: 'p' }, { ...attempt, phase: 3 }].map(gradingScope)
  expect(new Set([...scopes, execScope('j.a.oracle.1')]).size).toBe(4)
})
