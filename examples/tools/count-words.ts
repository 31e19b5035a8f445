import { defineTool } from 'rollcall/agents'
import { z } from 'zod'

/** A tool of one's own: `rollcall run examples/tasks --agent model --model … --tools examples/tools/count-words.ts` */
export const countWords = defineTool({
  name: 'count_words',
  description: 'Counts how often a word occurs in a text file, as a whole word.',
  arguments: z.strictObject({
    path: z.string().min(1).describe('The file'),
    word: z.string().min(1),
  }),
  run: async ({ path, word }, { exec }) => {
    const found = await exec({
      script: 'tr -cs "[:alnum:]" "\\n" <"$FILE" | grep -cxF -e "$WORD"',
      env: { FILE: path, WORD: word },
    })
    if (found.stderr !== '') return { ok: false, outcome: 'exited', exitCode: 1, output: found.stderr }
    return `${word} occurs ${found.stdout.trim()} times in ${path}`
  },
})
