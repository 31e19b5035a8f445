import { defineAgent } from 'rollcall/agents'

/**
 * Looks into one file and writes down its first line, in three turns. Try it:
 *
 *     npx rollcall run examples/tasks/hello --agent ./examples/agents/first-line-agent.ts#firstLineAgent
 *
 * `next` keeps nothing between turns: what it needs is in the transcript, so any worker may ask for the next turn.
 */
export const firstLineAgent = (args: { path?: string }) =>
  defineAgent({
    name: 'first-line',
    async next({ task, transcript }) {
      const path = args.path ?? '/etc/os-release'
      const [read, written] = transcript
      if (!read)
        return { message: `Reading ${path}`, calls: [{ tool: 'bash', args: { command: `head -n 1 ${path}` } }] }
      if (!written) {
        const line = read.results[0]?.output ?? ''
        return { calls: [{ tool: 'write_file', args: { path: `${task.workdir}/first-line.txt`, content: line } }] }
      }
      return { done: true, reason: `the first line of ${path} is written` }
    },
  })
