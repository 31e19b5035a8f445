/** What an agent in TypeScript needs: `import { defineAgent } from 'rollcall/agents'`. */

import type { Agent, JsonValue } from './agent.ts'

export { RollcallError } from '../protocol/failure.ts'
export { defineTool } from '../tools/define-tool.ts'
export type { ToolDefinition } from '../tools/define-tool.ts'
export type { OwnTool, ToolCommand, ToolExec, ToolExecResult, ToolResult } from '../tools/tool.ts'
export type {
  Agent,
  AgentInput,
  AgentTask,
  Call,
  CallResult,
  ImageReference,
  Decision,
  JsonValue,
  ToolDescription,
  Turn,
  Upload,
  Usage,
} from './agent.ts'

/** Gives an agent its types; returns it as it is. */
export function defineAgent<State extends JsonValue = JsonValue>(agent: Agent<State>): Agent<State> {
  return agent
}
