import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { expect, test } from 'vitest'
import { generatedDocs } from './generated-docs.ts'

test.each((await generatedDocs()).map((doc) => ({ name: basename(doc.path), ...doc })))(
  '$name is what `npm run docs` writes from the code',
  async ({ path, text }) => {
    expect(await readFile(path, 'utf8')).toBe(text)
  },
)
