import { join } from 'node:path'
import { Sandboxes, type SandboxesOptions } from 'rollcall'

/**
 * Atropos' ModalToolBackend with one profile: several trajectories work at the same time in slots of shared sandboxes.
 *
 *     node examples/sandboxes/single-profile.ts
 */
export async function countInSlots(options: Partial<SandboxesOptions> = {}): Promise<string[]> {
  const profiles = join(import.meta.dirname, 'profiles.yaml')
  const sandboxes = await Sandboxes.start({ provider: 'docker', profiles, ...options })
  try {
    const trajectories = ['trajectory-1', 'trajectory-2', 'trajectory-3']
    const slots = await Promise.all(trajectories.map((name) => sandboxes.acquire(name, { timeoutMs: 120_000 })))

    await sandboxes.executeBatch(
      slots.map((slot, index) => ({
        slot,
        tool: 'write_file',
        args: { path: 'count.sh', content: `for i in $(seq ${index + 1}); do echo "line $i"; done >lines\n` },
      })),
    )
    // The id makes it safe to ask again: the same command of the same slot runs once.
    const counted = await sandboxes.executeBatch(
      slots.map((slot) => ({
        slot,
        tool: 'bash',
        args: { command: 'sh count.sh; wc -l <lines' },
        timeoutMs: 30_000,
        id: 'turn-1',
      })),
    )

    await Promise.all(slots.map((slot) => sandboxes.release(slot, { resetWorkspace: true })))
    return counted.map(({ output }) => output.trim())
  } finally {
    await sandboxes.stop({ purge: true })
  }
}

if (import.meta.main) console.log(await countInSlots({ onProgress: console.error }))
