import { text } from 'node:stream/consumers'
import { extract } from 'tar-stream'
import type { RolloutResult } from '../protocol/grade.ts'
import type { JobOptions } from '../protocol/job.ts'
import { taskKey, traceKey } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import { atifTrajectory } from './atif.ts'
import type { Instruction, TrajectorySource } from './atif.ts'
import type { AtifTrajectory } from './atif-schema.ts'
import type { TraceLine } from './trace.ts'

/** A result, also of a task of several steps, each with its own instruction. */
type RecordedRollout = RolloutResult & {
  readonly steps?: readonly { readonly name: string; readonly firstPhase: number }[]
}

/** Instructions of a task, by path. */
type InstructionFiles = ReadonlyMap<string, string>

/** Reads trajectories of one job; the instructions of a task are read once for all its rollouts. */
export class TrajectoryReader {
  readonly #store: Store
  readonly #options: JobOptions
  readonly #instructions = new Map<string, Promise<InstructionFiles>>()

  constructor(store: Store, options: JobOptions) {
    this.#store = store
    this.#options = options
  }

  /** The trajectory of a rollout that has been recorded. */
  async read(result: RecordedRollout): Promise<AtifTrajectory> {
    const stored = await this.#store.open(traceKey(result.job, result.name))
    const trace = stored === undefined ? [] : parseTrace(await text(stored))
    const files = await this.#instructionsOf(result.taskChecksum)
    return atifTrajectory({ result, trace, instructions: instructionsOf(result, files), agent: this.#agentOf(result) })
  }

  #agentOf(result: RolloutResult): TrajectorySource['agent'] {
    const found = this.#options.agents.find(({ label }) => label === result.agent)
    if (found === undefined) return undefined
    const { kind, model, module } = found
    return { kind, ...(model === undefined ? {} : { model }), ...(module === undefined ? {} : { module }) }
  }

  #instructionsOf(checksum: string): Promise<InstructionFiles> {
    const known = this.#instructions.get(checksum)
    if (known !== undefined) return known
    const reading = readInstructions(this.#store, checksum)
    this.#instructions.set(checksum, reading)
    return reading
  }
}

/** What `recordRollout` has stored. */
function parseTrace(stored: string): TraceLine[] {
  const lines = stored.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as TraceLine)
}

function instructionsOf({ steps }: RecordedRollout, files: InstructionFiles): Instruction[] {
  const parts = steps ?? [{ name: undefined, firstPhase: 0 }]
  return parts.flatMap(({ name, firstPhase }) => {
    const text = files.get(name === undefined ? 'instruction.md' : `steps/${name}/instruction.md`)
    return text === undefined ? [] : [{ phase: firstPhase, text }]
  })
}

/** Out of the task's copy; none where the store has no such copy. */
async function readInstructions(store: Store, checksum: string): Promise<InstructionFiles> {
  const files = new Map<string, string>()
  const tar = checksum === '' ? undefined : await store.open(taskKey(checksum))
  if (tar === undefined) return files
  const entries = extract()
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  for await (const entry of entries) {
    // All lie in one folder, which is named like the task.
    const path = entry.header.name.split('/').slice(1).join('/')
    if (entry.header.type === 'file' && instructionPattern.test(path)) files.set(path, await text(entry))
    else entry.resume()
  }
  return files
}

const instructionPattern = /^(steps\/[^/]+\/)?instruction\.md$/
