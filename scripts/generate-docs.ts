/**
 * `npm run docs`: writes what the documentation says from the code's own tables: docs/failures.md whole, and the table
 * of providers between its marks in README.md and docs/providers.md. `generated-docs.test.ts` proves that it was run.
 */
import { writeFile } from 'node:fs/promises'
import { generatedDocs } from './generated-docs.ts'

for (const { path, text } of await generatedDocs()) {
  await writeFile(path, text)
  console.log(`wrote ${path}`)
}
