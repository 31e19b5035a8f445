import { join } from 'node:path'
import { Sandboxes, type SandboxesOptions } from 'rollcall'

/**
 * Atropos' ModalToolBackend with several profiles: data is prepared in a small sandbox, and used in a larger one, within
 * one batch where that is possible.
 *
 *     node examples/sandboxes/multi-profile.ts
 */
export async function prepareAndTrain(options: Partial<SandboxesOptions> = {}): Promise<Record<string, string>> {
  const sandboxes = await Sandboxes.start({
    provider: 'docker',
    profiles: join(import.meta.dirname, 'profiles.yaml'),
    start: ['default', 'large'],
    ...options,
  })
  try {
    const slot = await sandboxes.acquire('trajectory-1', { profile: 'default', timeoutMs: 120_000 })
    const large = await sandboxes.acquire('trajectory-1', { profile: 'large', timeoutMs: 120_000 })

    const [prepared, stage] = await sandboxes.executeBatch([
      { slot, tool: 'bash', args: { command: 'seq 1 100 >numbers; wc -l <numbers' }, timeoutMs: 30_000 },
      { slot: large, tool: 'bash', args: { command: 'echo "$STAGE"' } },
    ])

    const numbers = await sandboxes.readArtifact(slot, 'numbers')
    if (!numbers.ok) throw new Error(numbers.message)
    await sandboxes.writeArtifact(large, { path: 'data/numbers', content: numbers.content })
    const command = 'sum=0; while read n; do sum=$((sum + n)); done <data/numbers; mkdir model; echo $sum >model/sum'
    const [trained] = await sandboxes.executeBatch([{ slot: large, tool: 'bash', args: { command } }])

    const model = await sandboxes.archiveArtifacts(large, 'model', { format: 'zip', maxBytes: 1_000_000 })
    const sum = await sandboxes.readArtifact(large, 'model/sum', { encoding: 'text' })
    await sandboxes.release(slot, { resetWorkspace: true })
    await sandboxes.release(large, { resetWorkspace: true })
    return {
      prepared: prepared?.output.trim() ?? '',
      stage: stage?.output.trim() ?? '',
      trained: trained?.outcome ?? '',
      sum: sum.ok ? sum.content.trim() : sum.message,
      model: model.ok ? `${model.entries} entry in a ${model.format}` : model.message,
      profiles: sandboxes
        .listProfiles()
        .map(({ name }) => name)
        .join(' '),
    }
  } finally {
    await sandboxes.stop({ purge: true })
  }
}

if (import.meta.main) console.log(await prepareAndTrain({ onProgress: console.error }))
