import { NodeRegistry } from '../compute/node-registry.ts'
import { isRequirement, selectNode } from '../compute/requirement.ts'
import { RollcallError } from '../protocol/failure.ts'
import type { RunOptions } from './run-options.ts'

/**
 * Options whose node is chosen: its provider with its settings stands in its place. Without node and provider the default
 * node is taken, where there is one.
 * @throws RollcallError `configuration-invalid` for a node that is not there, or that is named beside a provider
 */
export async function atNode<Run extends Pick<RunOptions, 'node' | 'provider'>>(
  run: Run,
  { stateDirectory }: { stateDirectory: string },
): Promise<Omit<Run, 'node'>> {
  const { node: wanted, ...rest } = run
  if (wanted !== undefined && run.provider !== undefined) {
    throw new RollcallError(
      'configuration-invalid',
      `Node is ${JSON.stringify(wanted)}: expected it without a provider, since the node says which`,
    )
  }
  if (run.provider !== undefined) return rest
  const node = await chosenNode(new NodeRegistry(stateDirectory), wanted)
  return node === undefined ? rest : { ...rest, provider: { name: node.type, options: node.settings } }
}

async function chosenNode(registry: NodeRegistry, wanted: string | undefined) {
  if (wanted === undefined) return await registry.default()
  return isRequirement(wanted) ? selectNode(await registry.list(), wanted) : await registry.get(wanted)
}
