import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { publishedManifest } from './published-manifest.ts'

const clone = await readFile(new URL('../package.json', import.meta.url), 'utf8')

test('the published package names JavaScript with declarations, and brings nothing that only the clone needs', () => {
  const published = publishedManifest(clone)
  expect(published).toMatchObject({
    name: 'rollcall',
    optionalDependencies: { '@aws-sdk/client-s3': expect.any(String) },
    bin: { rollcall: 'cli/main.js' },
    exports: {
      '.': { types: './client/index.d.ts', default: './client/index.js' },
      './agents': { types: './agents/index.d.ts', default: './agents/index.js' },
      './conformance': { types: './providers/conformance/index.d.ts', default: './providers/conformance/index.js' },
      './package.json': './package.json',
    },
  })
  expect(published).not.toHaveProperty('scripts')
  expect(published).not.toHaveProperty('devDependencies')
})

test('in the clone the command and the exports are the TypeScript files themselves', () => {
  expect(JSON.parse(clone)).toMatchObject({
    bin: { rollcall: 'cli/main.ts' },
    exports: { '.': './client/index.ts' },
  })
})
