import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { loadTaskset } from './load-taskset.ts'
import { writeTaskInto } from './task-fixture.ts'
import { loadGrader } from './task-module.ts'

const row = { name: 'one', instruction: 'Do it.', image: 'debian:12', check: 'true' }

async function folderOf(files: Record<string, string>): Promise<string> {
  const folder = await temporaryFolder('rows')
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content)
  return folder
}

async function load(files: Record<string, string>, file = Object.keys(files)[0] ?? '') {
  const folder = await folderOf(files)
  return loadTaskset(file === '.' ? folder : join(folder, file), { cacheDirectory: join(folder, 'cache') })
}

async function refusal(files: Record<string, string>, file?: string): Promise<string> {
  return load(files, file).then(
    () => 'nothing was refused',
    (error: Error) => error.message,
  )
}

const moduleOf = (source: string) => `import { defineTask } from 'rollcall'\n${source}`

describe('tasks without a directory each', () => {
  test('a row becomes the same kind of task as a directory, the same each time', async () => {
    const full = {
      ...row,
      files: { 'in/data.txt': 'x', 'run.sh': '#!/bin/sh\n', 'README.md': { from: 'about.md' } },
      env: { A: 'a' },
      checkEnv: { KEY: '${TOKEN}' },
      solution: 'echo 1',
      agentTimeoutMs: 1_500,
      checkTimeoutMs: 2_000,
      metadata: { tags: ['x'] },
      runtime: { resources: { cpus: null }, mounts: [] },
    }
    const files = { 'tasks.jsonl': `${JSON.stringify(full)}\n\n`, 'about.md': 'About.\n' }
    const [task] = (await load(files)).tasks
    expect(task).toMatchObject({
      name: 'one',
      instruction: 'Do it.\n',
      agent: { timeoutMs: 1_500 },
      verifier: { timeoutMs: 2_000, env: { KEY: '${TOKEN}' } },
      metadata: { tags: ['x'] },
      runtime: { image: { type: 'dockerfile' }, env: { A: 'a' }, workdir: '/app' },
      ownRuntime: { resources: { cpus: null }, mounts: [] },
    })
    const directory = task?.directory ?? ''
    expect(await readFile(join(directory, 'environment/Dockerfile'), 'utf8')).toBe(
      'FROM debian:12\nWORKDIR /app\nCOPY files/ /app/\n',
    )
    expect(await readFile(join(directory, 'environment/files/README.md'), 'utf8')).toBe('About.\n')
    expect((await stat(join(directory, 'environment/files/run.sh'))).mode & 0o111).not.toBe(0)
    expect((await load(files)).tasks[0]?.checksum).toBe(task?.checksum)
  })

  test('an image without files is used as it is, a Dockerfile among the files is built', async () => {
    const dockerfile = { ...row, name: 'two', image: undefined, files: { Dockerfile: 'FROM debian:12\n' } }
    const { tasks } = await load({ 'tasks.jsonl': `${JSON.stringify(row)}\n${JSON.stringify(dockerfile)}` })
    expect(tasks.map(({ runtime }) => runtime.image.type)).toEqual(['name', 'dockerfile'])
  })

  test('everything wrong with a JSONL file is told with its line', async () => {
    const lines = ['{"name": "a"', JSON.stringify({ ...row, chek: 'x', agentTimeoutMs: -1 }), '', '[1]']
    const message = await refusal({ 'tasks.jsonl': lines.join('\n') })
    expect(message).toContain('tasks.jsonl:1: expected valid JSON')
    expect(message).toContain('tasks.jsonl:2: agentTimeoutMs is -1: expected a whole number of milliseconds above 0')
    expect(message).toContain('tasks.jsonl:2: chek is "x": expected no such key; known here: name, instruction')
    expect(message).toContain('tasks.jsonl:4: the row is [1]: expected a table')
  })

  test('everything wrong with a YAML file is told with its line', async () => {
    const yaml = `runtime:
  cpu: 1
tasks:
  - name: a b
    instruction: x
    check: "true"
  - name: c
    check: 3
`
    const message = await refusal({ 'taskset.yaml': yaml })
    expect(message).toContain('taskset.yaml:2: runtime.cpu is 1: expected no such key')
    expect(message).toContain('taskset.yaml:4: tasks[0].name is "a b": expected a letter or digit')
    expect(message).toContain('taskset.yaml:7: tasks[1].instruction is missing: expected text')
    expect(message).toContain('taskset.yaml:8: tasks[1].check is 3: expected text')
    expect(await refusal({ 'x.yaml': 'tasks:\n  - {name: a\n' })).toMatch(/^x\.yaml:\d: expected valid YAML/)
  })

  test.each([
    [{ check: undefined }, 'check is missing: expected a command'],
    [{ image: undefined, files: { a: 'b' } }, 'image is missing: expected the image that the files go into'],
    [{ files: { Dockerfile: 'FROM x' } }, 'image is debian:12: expected none beside files.Dockerfile'],
    [{ files: { '../up': 'b' } }, 'files."../up" is "b": expected a relative path without . and .. as the key'],
    [{ files: { a: { from: 'gone' } } }, 'expected a readable file or folder'],
    [{ files: { a: { from: '/etc/hostname' } } }, 'files.a.from is "/etc/hostname": expected a file or folder beside'],
    [{ files: { a: { from: '..' } } }, 'expected a file or folder beside the file of tasks'],
    [{ metadata: { a: null } }, 'metadata.a is null: expected text, a number'],
    [{ env: { A: '${B-c}' } }, 'environment.env.A is "${B-c}": expected plain text, ${VAR} or ${VAR:-default}'],
  ])('a row with %o is refused', async (change, problem) => {
    expect(await refusal({ 'tasks.jsonl': JSON.stringify({ ...row, ...change }) })).toContain(problem)
  })

  test('a folder may mix directories, rows and modules; its taskset file is for all of them', async () => {
    const folder = await folderOf({
      'taskset.toml': 'name = "mixed"\n[runtime.resources]\ncpus = 2\n',
      'more.tasks.yaml': `- ${JSON.stringify(row)}\n`,
      'tasks.ts': moduleOf(`export const t = [defineTask(${JSON.stringify({ ...row, name: 'typed' })})]`),
      'data.jsonl': 'no task at all\n',
    })
    await writeTaskInto(folder, {}, 'directory')
    const loaded = await loadTaskset(folder, { cacheDirectory: join(folder, '.cache') })
    expect(loaded).toMatchObject({ name: 'mixed', runtime: { resources: { cpus: 2 } } })
    expect(loaded.tasks.map(({ name }) => name)).toEqual(['directory', 'one', 'typed'])
  })

  test('a name that is used twice is told with both places', async () => {
    const message = await refusal({
      'tasks.jsonl': `${JSON.stringify(row)}\n${JSON.stringify({ ...row, name: 'ONE' })}`,
    })
    expect(message).toContain(
      'tasks.jsonl:1: name is "one": expected a name that is not also used as "ONE" (tasks.jsonl:2)',
    )
  })
})

describe('tasks in TypeScript', () => {
  const graded = moduleOf(`
    import { basename } from 'node:path'
    export const graded = defineTask({ name: 'graded', instruction: 'x', image: 'debian:12', grade: () => basename('a/1').length })`)

  test('a grader function goes into a bundle, from which a worker loads it', async () => {
    const { tasks, bundles } = await load({ 'tasks.ts': graded })
    const [bundle] = bundles
    expect(tasks[0]?.grader).toEqual({ bundle: bundle?.key, task: 'graded', source: 'tasks.ts' })
    const from = { readBundle: async () => bundle?.bytes, cacheDirectory: await temporaryFolder('bundles') }
    const grader = tasks[0]?.grader ?? { bundle: '', task: '', source: '' }
    const grade = await loadGrader(grader, from)
    expect(await grade({} as Parameters<typeof grade>[0])).toBe(1)
    await expect(loadGrader({ ...grader, task: 'other' }, from)).rejects.toMatchObject({ code: 'grader-failed' })
    const empty = { ...from, readBundle: async () => undefined }
    await expect(loadGrader(grader, empty)).rejects.toThrow('the store has no bundles/')
  })

  test.each([
    ['export const a = 1', 'tasks.ts exports no task (it exports a): expected export const'],
    ['export const a = defineTask({ name: "a" })', 'tasks.ts: task a: instruction is missing'],
    ['export const a = defineTask({ name: "a", instruction: "x", image: "y" })', 'check is missing'],
    ['import x from "./x.node"; export const a = x', './x.node is a native module: expected JavaScript'],
    ['throw new Error("no luck")', 'cannot be loaded: it throws: no luck'],
    ['export const a = (', 'cannot be bundled: tasks.ts:'],
    ['import { Taskset } from "rollcall"; export const a = Taskset', 'No matching export'],
  ])('%s is refused', async (source, problem) => {
    expect(await refusal({ 'tasks.ts': moduleOf(source), 'x.node': '' })).toContain(problem)
  })
})
