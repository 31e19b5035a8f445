import { toolOf } from '../../tools/own-tools.ts'
import type { OwnTool, Tool } from '../../tools/tool.ts'
import { tools as builtIn } from '../../tools/tools.ts'

/** Ends a rollout's turns, which are not there in direct use. */
const onlyForAgents = ['submit']

/** The tools of direct use by name: the built-in ones, and others over them. */
export function toolsOf(others: readonly OwnTool[]): ReadonlyMap<string, Tool> {
  const all = [...builtIn].filter(([name]) => !onlyForAgents.includes(name))
  return new Map([...all, ...others.map((tool) => [tool.description.name, toolOf(tool)] as const)])
}
