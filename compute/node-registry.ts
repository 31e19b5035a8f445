import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lock } from 'proper-lockfile'
import { z } from 'zod'
import { RollcallError } from '../protocol/failure.ts'
import { nodeSchema } from './node.ts'
import type { ComputeNode } from './node.ts'

const registrySchema = z.object({
  version: z.literal(1),
  default: z.string().optional(),
  nodes: z.array(nodeSchema),
})

type Registered = z.infer<typeof registrySchema>

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/

/**
 * The named places of one user: `<stateDirectory>/nodes.json`, readable by nobody else. Changes by several processes at
 * the same time are made one after the other, each whole.
 */
export class NodeRegistry {
  readonly #folder: string
  readonly #file: string

  constructor(stateDirectory: string) {
    this.#folder = stateDirectory
    this.#file = join(stateDirectory, 'nodes.json')
  }

  /** In the order in which they were added. */
  async list(): Promise<readonly ComputeNode[]> {
    return (await this.#read()).nodes
  }

  /** @throws RollcallError `configuration-invalid` naming those that there are */
  async get(name: string): Promise<ComputeNode> {
    return found((await this.#read()).nodes, name)
  }

  /** The default node, where one was named. */
  async default(): Promise<ComputeNode | undefined> {
    const { default: name, nodes } = await this.#read()
    return nodes.find((node) => node.name === name)
  }

  /** @throws RollcallError `configuration-invalid` for a name that is none, or that another node has */
  async add(node: ComputeNode): Promise<void> {
    assertNodeName(node.name)
    await this.#change((registered) => {
      if (registered.nodes.some(({ name }) => name === node.name)) {
        throw invalid(`Node ${node.name} is there already: expected a new name, or remove that one first`)
      }
      return { ...registered, nodes: [...registered.nodes, node] }
    })
  }

  /** What was found when it was asked. One that was removed meanwhile stays removed. */
  async keep(name: string, seen: Pick<ComputeNode, 'report' | 'lastSeen' | 'problem'>): Promise<void> {
    await this.#change((registered) => ({
      ...registered,
      nodes: registered.nodes.map((node) => (node.name === name ? { ...without(node, 'problem'), ...seen } : node)),
    }))
  }

  /** Touches nothing on the node. @throws RollcallError `configuration-invalid` for one that is not there */
  async remove(name: string): Promise<void> {
    await this.#change((registered) => {
      found(registered.nodes, name)
      const nodes = registered.nodes.filter((node) => node.name !== name)
      return registered.default === name ? { version: 1, nodes } : { ...registered, nodes }
    })
  }

  /** @param name undefined: none is the default any more */
  async setDefault(name: string | undefined): Promise<void> {
    await this.#change(({ nodes }) => {
      if (name === undefined) return { version: 1, nodes }
      return { version: 1, default: found(nodes, name).name, nodes }
    })
  }

  async #read(): Promise<Registered> {
    let text: string
    try {
      text = await readFile(this.#file, 'utf8')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { version: 1, nodes: [] }
      throw error
    }
    try {
      return registrySchema.parse(JSON.parse(text))
    } catch (error) {
      const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error)
      throw invalid(`${this.#file} is not a list of nodes as Rollcall writes it: ${reason}`)
    }
  }

  async #change(change: (registered: Registered) => Registered): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const release = await lock(this.#folder, {
      lockfilePath: `${this.#file}.lock`,
      stale: 10_000,
      retries: { retries: 100, minTimeout: 20, maxTimeout: 200 },
    })
    try {
      const changed = change(await this.#read())
      const temporary = `${this.#file}-${randomUUID()}`
      await writeFile(temporary, `${JSON.stringify(changed, null, 2)}\n`, { mode: 0o600 })
      await rename(temporary, this.#file)
    } finally {
      await release()
    }
  }
}

/** @throws RollcallError `configuration-invalid` */
export function assertNodeName(name: string): void {
  if (namePattern.test(name)) return
  throw invalid(`Node name is ${JSON.stringify(name)}: expected 1 to 63 of a-z, 0-9 and -, no - at the start`)
}

function found(nodes: readonly ComputeNode[], name: string): ComputeNode {
  const node = nodes.find((entry) => entry.name === name)
  if (node !== undefined) return node
  const there =
    nodes.length === 0 ? 'none has been added' : `expected one of ${nodes.map((each) => each.name).join(', ')}`
  throw invalid(`Node is ${JSON.stringify(name)}: ${there} (rollcall nodes list)`)
}

function without<Value extends object, Key extends keyof Value>(value: Value, key: Key): Omit<Value, Key> {
  const { [key]: _, ...rest } = value
  return rest
}

function invalid(message: string): RollcallError {
  return new RollcallError('configuration-invalid', message)
}
