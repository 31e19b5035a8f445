import { z } from 'zod'
import { builtInTool, succeeded } from './tool.ts'

export const submitTool = builtInTool({
  name: 'submit',
  description: 'Says that the task is done. Ends your work on it.',
  arguments: z.strictObject({ answer: z.string().optional().describe('An answer, where the task asks for one') }),
  run: async ({ answer }) => ({ ...succeeded(answer ?? 'Submitted'), submitted: true }),
})
