import type { Agent } from './agent.ts'

/** Does nothing: what a task must give 0 for. */
export function createNopAgent(): Agent {
  return { name: 'nop', next: () => Promise.resolve({ done: true, reason: 'does nothing' }) }
}
