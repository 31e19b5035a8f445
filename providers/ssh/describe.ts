import type { FoundSandbox, Sandbox } from '../contract/provider.ts'
import { sandboxPaths } from '../host-sandbox/paths.ts'
import { parseRecord } from '../host-sandbox/record.ts'
import type { SandboxRecord } from '../host-sandbox/record.ts'

/** One line of node.sh: a sandbox as its node knows it. */
export interface Described {
  /** `unstarted`: whoever made it has died before it was started. */
  readonly state: 'running' | 'unstarted' | 'dead'
  readonly reason: 'lifetime' | 'exited' | 'unknown'
  readonly record: SandboxRecord
}

/** Lines of `running - RECORD`, `unstarted - RECORD`, `dead REASON RECORD`. @throws Error for any other */
export function readDescriptions(text: string): Described[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const [, state, reason, record] = /^(running|unstarted|dead) (\S+) (\{.*\})$/.exec(line) ?? []
    if (record === undefined) throw new Error(`node.sh said ${JSON.stringify(line.slice(0, 200))}`)
    return {
      state: state === 'running' || state === 'unstarted' ? state : 'dead',
      reason: reason === 'lifetime' || reason === 'exited' ? reason : 'unknown',
      record: parseRecord(record),
    }
  })
}

/** @param home directory of all sandboxes on the node */
export function sandboxOf(home: string, { name, image, workdir }: SandboxRecord): Sandbox {
  return { name, id: sandboxPaths(home, name).directory, image, workdir }
}

/** @param home directory of all sandboxes on the node */
export function describedSandbox(home: string, { state, reason, record }: Described): FoundSandbox {
  const { ownership, created } = record
  const sandbox = { ...sandboxOf(home, record), ownership, createdMs: Date.parse(created) }
  return state === 'running' ? { ...sandbox, state } : { ...sandbox, state: 'dead', reason }
}
