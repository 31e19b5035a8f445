import type { ToolDescription } from '../agents/agent.ts'
import { bashTool } from './bash.ts'
import { editFileTool } from './edit-file.ts'
import { readFileTool, writeFileTool } from './file-tools.ts'
import { listFilesTool } from './list-files.ts'
import { submitTool } from './submit.ts'
import { pythonTool } from './python.ts'
import type { Tool } from './tool.ts'
import { viewImageTool } from './view-image.ts'

const all: readonly Tool[] = [
  bashTool,
  pythonTool,
  readFileTool,
  writeFileTool,
  editFileTool,
  viewImageTool,
  listFilesTool,
  submitTool,
]

/** Every tool by its name. */
export const tools: ReadonlyMap<string, Tool> = new Map(all.map((tool) => [tool.description.name, tool]))

/** What models and agents are told about the tools. */
export const toolDescriptions: readonly ToolDescription[] = all.map((tool) => tool.description)
