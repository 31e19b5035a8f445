import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify as toml } from 'smol-toml'
import { stringify } from 'yaml'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { loadTaskset } from './load-taskset.ts'
import { writeTask } from './task-fixture.ts'
import type { FixtureFile } from './task-fixture.ts'

const judge = { model: 'openai/a-judge', criteria: [{ name: 'correct', description: 'It is 42.' }] }
const judged = {
  model: 'openai/a-judge',
  criteria: [{ name: 'correct', description: 'It is 42.', weight: 1 }],
  transcript: false,
  files: [],
}
const row = { name: 'one', instruction: 'Do it.', image: 'debian:12', judge }

async function load(path: string) {
  return await loadTaskset(path, { cacheDirectory: await temporaryFolder('cache') })
}

async function refusalOf(files: Record<string, FixtureFile>): Promise<string> {
  return load(await writeTask(files)).then(
    () => 'nothing was refused',
    (error: Error) => error.message,
  )
}

test('a rollcall.yaml that cannot be read is not taken for none', async () => {
  expect(await refusalOf({ 'rollcall.yaml/notes.txt': 'x' })).toContain(
    'rollcall.yaml is not readable (EISDIR): expected a readable file, or none',
  )
})

test.each([
  ['tasks.jsonl', JSON.stringify(row)],
  ['tasks.yaml', stringify({ tasks: [row] })],
  ['tasks.toml', toml({ tasks: [row] })],
  [
    'tasks.ts',
    `import { defineTask } from 'rollcall'\nexport const one = defineTask(${JSON.stringify(row)} as Parameters<typeof defineTask>[0])\n`,
  ],
])('a task in %s may be graded by a judge', async (name, text) => {
  const file = join(await temporaryFolder('judged'), name)
  await writeFile(file, text)
  const { tasks } = await load(file)
  expect(tasks).toMatchObject([{ name: 'one', judge: judged }])
})

test('a Harbor directory may be graded by a judge of its rollcall.yaml, with or without tests for Harbor', async () => {
  const own = stringify({ judge })
  for (const tests of [undefined, '#!/bin/bash\n']) {
    const { tasks } = await load(await writeTask({ 'rollcall.yaml': own, 'tests/test.sh': tests }))
    expect(tasks).toMatchObject([{ judge: judged }])
  }
})

test.each([
  [{ ...judge, model: 'gpt' }, 'judge.model is "gpt": expected openai/MODEL'],
  [{ ...judge, criteria: [] }, 'judge.criteria'],
  [{ ...judge, criteria: [...judge.criteria, ...judge.criteria] }, 'expected criteria of different names'],
  [{ ...judge, criteria: [{ name: 'reward', description: 'x' }] }, 'expected another name than reward'],
  [{ ...judge, criteria: [{ name: 'a', description: 'x', weight: 0 }] }, 'expected a number above 0'],
  [{ ...judge, sees: 'all' }, 'sees'],
])('a judge such as %j is refused by the name of its field', async (wrong, expected) => {
  expect(await refusalOf({ 'rollcall.yaml': stringify({ judge: wrong }) })).toContain(expected)
})

test('a judge beside a grader function or a separate verifier is refused', async () => {
  const grader = { bundle: 'bundles/x.mjs', task: 'a-task', source: 'tasks.ts' }
  expect(await refusalOf({ 'rollcall.yaml': stringify({ judge, grader }) })).toContain('expected none beside grader')
  const separate = {
    'rollcall.yaml': stringify({ judge }),
    'task.toml': 'schema_version = "1.4"\n[verifier]\nenvironment_mode = "separate"\n',
    'tests/Dockerfile': 'FROM debian:12\n',
  }
  expect(await refusalOf(separate)).toContain('rollcall.yaml: judge')
})

test('a row with a check beside its judge is refused', async () => {
  const file = join(await temporaryFolder('judged'), 'tasks.jsonl')
  await writeFile(file, JSON.stringify({ ...row, check: 'true' }))
  await expect(load(file)).rejects.toThrow('exactly one of them')
})
