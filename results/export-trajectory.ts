import { buffer, text } from 'node:stream/consumers'
import { extract } from 'tar-stream'
import type { RolloutResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'
import { taskKey, traceKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { atifTrajectory } from './atif.ts'
import type { Instruction, TrajectorySource } from './atif.ts'
import type { AtifTrajectory } from './atif-schema.ts'
import type { TraceLine } from './trace.ts'

/** Reads trajectories of one job; the instruction of a task is read once for all its rollouts. */
export class TrajectoryReader {
  readonly #store: Store
  readonly #options: JobOptions
  readonly #instructions = new Map<string, Promise<Instruction[]>>()

  constructor(store: Store, options: JobOptions) {
    this.#store = store
    this.#options = options
  }

  /** The trajectory of a rollout that has been recorded. */
  async read(result: RolloutResult): Promise<AtifTrajectory> {
    const stored = await this.#store.open(traceKey(result.job, result.name))
    const trace = stored === undefined ? [] : parseTrace(await text(stored))
    const instructions = await this.#instructionsOf(result.taskChecksum)
    return atifTrajectory({ result, trace, instructions, agent: this.#agentOf(result) })
  }

  #agentOf(result: RolloutResult): TrajectorySource['agent'] {
    const found = this.#options.agents.find(({ label }) => label === result.agent)
    if (found === undefined) return undefined
    const { kind, model, module } = found
    return { kind, ...(model === undefined ? {} : { model }), ...(module === undefined ? {} : { module }) }
  }

  #instructionsOf(checksum: string): Promise<Instruction[]> {
    const known = this.#instructions.get(checksum)
    if (known !== undefined) return known
    const reading = readInstruction(this.#store, checksum)
    this.#instructions.set(checksum, reading)
    return reading
  }
}

/** What `recordRollout` has stored. */
function parseTrace(stored: string): TraceLine[] {
  const lines = stored.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as TraceLine)
}

/** `instruction.md` out of the task's copy; none where the store has no such copy, or the copy no such file. */
async function readInstruction(store: Store, checksum: string): Promise<Instruction[]> {
  const tar = checksum === '' ? undefined : await store.open(taskKey(checksum))
  if (tar === undefined) return []
  const entries = extract()
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  try {
    for await (const entry of entries) {
      const [, file, ...deeper] = entry.header.name.split('/')
      if (entry.header.type === 'file' && file === 'instruction.md' && deeper.length === 0)
        return [{ phase: 0, text: (await buffer(entry)).toString() }]
      entry.resume()
    }
    return []
  } finally {
    tar.destroy()
  }
}
