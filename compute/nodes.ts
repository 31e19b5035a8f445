import { RollcallError } from '../protocol/failure.ts'
import { assertNodeName, NodeRegistry } from './node-registry.ts'
import type { NodeType } from './node-types.ts'
import type { ComputeNode } from './node.ts'
import { probeNode } from './probe-node.ts'
import type { ProbeEnvironment } from './probe-node.ts'
import { SshKeys } from './ssh-keys.ts'

export interface NewNode {
  /** 1 to 63 of a-z, 0-9 and -. */
  readonly name: string
  readonly type: NodeType
  /** Settings of its provider, as `--provider-arg` takes them (docs/providers.md). */
  readonly settings?: Readonly<Record<string, string>>
  /** Ask it what it is before it is added. Default true. */
  readonly probe?: boolean
}

/** Named places where sandboxes can be made; `rollcall nodes` and `--node`. */
export class Nodes {
  readonly registry: NodeRegistry
  readonly keys: SshKeys
  readonly #environment: ProbeEnvironment

  constructor(environment: ProbeEnvironment) {
    this.registry = new NodeRegistry(environment.stateDirectory)
    this.keys = new SshKeys(environment.stateDirectory)
    this.#environment = environment
  }

  /**
   * Adds a node; one that does not answer is not added.
   * @throws RollcallError `configuration-invalid`, and what `probe` throws
   */
  async add({ name, type, settings = {}, probe = true }: NewNode): Promise<ComputeNode> {
    assertNodeName(name)
    const added = now()
    const node: ComputeNode = { name, type, settings: { ...settings }, added }
    if (!probe) {
      await this.registry.add(node)
      return node
    }
    const seen = { ...node, lastSeen: now(), report: await probeNode(node, this.#environment) }
    await this.registry.add(seen)
    return seen
  }

  /**
   * Asks a node what it is now, and keeps the answer; of one that does not answer what was known stays, with the reason.
   * @throws RollcallError `configuration-invalid` for a name that is not there
   */
  async probe(name: string): Promise<ComputeNode> {
    const node = await this.registry.get(name)
    try {
      const report = await probeNode(node, this.#environment)
      await this.registry.keep(name, { report, lastSeen: now() })
    } catch (error) {
      await this.registry.keep(name, { problem: error instanceof Error ? error.message : String(error) })
      if (!(error instanceof RollcallError)) throw error
    }
    return await this.registry.get(name)
  }

  /** Forgets a node; touches nothing on it. */
  async remove(name: string): Promise<void> {
    await this.registry.remove(name)
  }

  /** Refused while a node uses it. */
  async removeKey(name: string): Promise<void> {
    await this.keys.remove(name, await this.registry.list())
  }
}

function now(): string {
  return new Date().toISOString()
}
