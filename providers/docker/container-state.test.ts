import { expect, test } from 'vitest'
import { lifeOf } from './container-state.ts'

const running = { Status: 'running', Running: true, Paused: false, OOMKilled: false, ExitCode: 0 }
const exited = { ...running, Status: 'exited', Running: false }

test.each([
  ['a running one', running, { state: 'running' }],
  ['a paused one', { ...running, Status: 'paused', Paused: true }, { state: 'running' }],
  ['one that runs although something inside ran out of memory', { ...running, OOMKilled: true }, { state: 'running' }],
  ['one that was created and never started', { ...exited, Status: 'created' }, { state: 'dead', reason: 'unknown' }],
  ['one that is being removed', { ...exited, Status: 'removing' }, { state: 'dead', reason: 'unknown' }],
  ['one that was killed for memory', { ...exited, OOMKilled: true, ExitCode: 137 }, { state: 'dead', reason: 'oom' }],
  ['one that was killed', { ...exited, ExitCode: 137 }, { state: 'dead', reason: 'exited' }],
  ['one whose supervisor ended at the end of its lifetime', exited, { state: 'dead', reason: 'lifetime' }],
  [
    'one that reached the end of its lifetime after a command had run out of memory',
    { ...exited, OOMKilled: true },
    { state: 'dead', reason: 'lifetime' },
  ],
  ['one that was started twice', { ...exited, ExitCode: 75 }, { state: 'dead', reason: 'exited' }],
])('%s', (_what, state, life) => {
  expect(lifeOf({ State: state })).toEqual(life)
})
