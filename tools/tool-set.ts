import type { ToolDescription } from '../agents/agent.ts'
import { RollcallError } from '../protocol/failure.ts'
import { invalid, type Tool } from './tool.ts'
import { tools } from './tools.ts'

/** The tools of one agent. */
export interface ToolSet {
  readonly byName: ReadonlyMap<string, Tool>
  /** What the agent is told of. */
  readonly descriptions: readonly ToolDescription[]
}

/**
 * Rollcall's own tools and those of a job.
 * @param options.blind the name of a model that takes no images: `view_image` is not offered, and refused by name
 * @throws RollcallError `configuration-invalid` when two have one name
 */
export function toolSet(own: readonly Tool[], options: { blind?: string | undefined } = {}): ToolSet {
  const byName = new Map(tools)
  for (const tool of own) {
    const { name } = tool.description
    if (byName.has(name)) throw new RollcallError('configuration-invalid', `Two tools are called ${name}: rename one`)
    byName.set(name, tool)
  }
  const { blind } = options
  const seen = [...byName.values()].map(({ description }) => description)
  if (blind === undefined) return { byName, descriptions: seen }
  const viewer = byName.get('view_image')
  const refusal = `${blind} takes no images: read what the image holds with other tools`
  if (viewer !== undefined) byName.set('view_image', { ...viewer, run: async () => invalid(refusal) })
  return { byName, descriptions: seen.filter(({ name }) => name !== 'view_image') }
}
