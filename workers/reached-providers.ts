import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

const settingsSchema = z.object({ name: z.string(), options: z.record(z.string(), z.string()) })

/** A provider as a job names it: with its settings. */
export type ProviderSettings = Readonly<z.infer<typeof settingsSchema>>

/**
 * The providers at whose places workers of this state directory have placed rollouts. Kept in a file: rollouts of which a
 * sandbox is here wait for the next worker. The settings are kept and not the queue, since the same settings may lead to
 * another Engine by then, and its worker must not take what waits for the first.
 */
export function reachedProviders(stateDirectory: string): {
  known(): Promise<ProviderSettings[]>
  /** Safe to call again. */
  keep(settings: ProviderSettings): Promise<void>
} {
  const file = join(stateDirectory, 'workers', 'reached-providers.jsonl')
  const known = async (): Promise<ProviderSettings[]> => {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    return [...new Set(text.split('\n'))].flatMap(parseLine)
  }
  return {
    known,
    keep: async ({ name, options }) => {
      if ((await known()).some((settings) => isDeepStrictEqual(settings, { name, options }))) return
      await mkdir(dirname(file), { recursive: true, mode: 0o700 })
      // A line of its own also behind one that a worker died in.
      await appendFile(file, `\n${JSON.stringify({ name, options })}\n`)
    },
  }
}

/** A worker that died within its line has promised nothing yet. */
function parseLine(line: string): ProviderSettings[] {
  try {
    return [settingsSchema.parse(JSON.parse(line))]
  } catch {
    return []
  }
}
