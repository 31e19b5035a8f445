import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/**
 * The reach queues that workers of this state directory have promised to serve. Kept in a file: rollouts of which a
 * sandbox is here wait for the next worker.
 */
export function reachQueues(stateDirectory: string): {
  known(): Promise<string[]>
  keep(queue: string): Promise<void>
} {
  const file = join(stateDirectory, 'workers', 'reach-queues')
  const known = async (): Promise<string[]> => {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    return [...new Set(text.split('\n').filter((line) => line !== ''))]
  }
  const keep = async (queue: string): Promise<void> => {
    if ((await known()).includes(queue)) return
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await appendFile(file, `${queue}\n`)
  }
  return { known, keep }
}
