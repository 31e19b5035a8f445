import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { loadTask } from './load-task.ts'
import { replaceTests } from './replace-tests.ts'
import { writeTask, writeTaskInto } from './task-fixture.ts'
import type { FixtureFile } from './task-fixture.ts'
import type { Task } from './task.ts'

const other = '#!/bin/bash\necho other\n'

async function taskOf(files: Record<string, FixtureFile> = {}): Promise<Task> {
  const loaded = await loadTask(await writeTask(files))
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  return loaded.task
}

/** A taskset whose task `a-task` has other tests. */
async function otherTaskset(files: Record<string, FixtureFile> = {}): Promise<string> {
  return dirname(await writeTaskInto(await temporaryFolder('other'), { 'tests/test.sh': other, ...files }))
}

const textOf = (task: Task | undefined, path: string) => readFile(join(task?.directory ?? '', path), 'utf8')

test('the tests of the same task in a folder take the place of its own, and nothing else of the folder does', async () => {
  const task = await taskOf({ 'tests/old.txt': 'old' })
  const directory = await otherTaskset({ 'instruction.md': 'Something else.\n' })
  const at = { directory, cacheDirectory: await temporaryFolder('cache') }
  const replaced = await replaceTests(task, at)
  expect(replaced).toMatchObject({ name: 'a-task', instruction: 'Do it.\n' })
  expect(replaced?.files).toEqual(['instruction.md', 'task.toml', 'tests/test.sh'])
  expect(await textOf(replaced, 'tests/test.sh')).toBe(other)
  expect(replaced?.checksum).not.toBe(task.checksum)
  expect(await replaceTests(task, at)).toEqual(replaced)
})

test('a folder that holds test.sh is for every task; one that holds neither is for none', async () => {
  const task = await taskOf()
  const cacheDirectory = await temporaryFolder('cache')
  const directory = await temporaryFolder('tests')
  expect(await replaceTests(task, { directory, cacheDirectory })).toBeUndefined()
  await writeFile(join(directory, 'test.sh'), other)
  expect(await textOf(await replaceTests(task, { directory, cacheDirectory }), 'tests/test.sh')).toBe(other)
})

test('tests of a step take the place of that step’s', async () => {
  const toml = 'schema_version = "1.4"\n[[steps]]\nname = "one"\n[[steps]]\nname = "two"\n'
  const steps = {
    'task.toml': toml,
    'instruction.md': undefined,
    'steps/one/instruction.md': 'One.\n',
    'steps/two/instruction.md': 'Two.\n',
    'steps/one/tests/test.sh': '#!/bin/bash\n',
    'steps/two/tests/test.sh': '#!/bin/bash\n',
    'tests/test.sh': undefined,
  }
  const directory = await otherTaskset({ ...steps, 'steps/two/tests/test.sh': other })
  const replaced = await replaceTests(await taskOf(steps), {
    directory,
    cacheDirectory: await temporaryFolder('cache'),
  })
  expect(await textOf(replaced, 'steps/one/tests/test.sh')).toBe('#!/bin/bash\n')
  expect(await textOf(replaced, 'steps/two/tests/test.sh')).toBe(other)
})

test('tests for a task that a judge grades are refused, and so are tests that make the task invalid', async () => {
  const judge = { model: 'openai/m', criteria: [{ name: 'a', description: 'b' }] }
  const judged = await taskOf({ 'rollcall.yaml': stringify({ judge }) })
  const at = { directory: await otherTaskset(), cacheDirectory: await temporaryFolder('cache') }
  await expect(replaceTests(judged, at)).rejects.toMatchObject({
    code: 'configuration-invalid',
    message: expect.stringContaining('a-task, which is graded by a judge') as string,
  })
  const without = { ...at, directory: await otherTaskset({ 'tests/test.sh': undefined, 'tests/no.txt': 'x' }) }
  await expect(replaceTests(await taskOf(), without)).rejects.toMatchObject({ code: 'task-invalid' })
})
