import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { loadTaskset } from './load-taskset.ts'
import { temporaryDirectory, writeTask, writeTaskInto } from './task-fixture.ts'

test('a folder of tasks is loaded in order; hidden folders and folders of other things are passed over', async () => {
  const folder = await temporaryDirectory()
  for (const name of ['b', 'a', 'c-2', 'c-10']) await writeTaskInto(folder, {}, name)
  await mkdir(join(folder, '.git'))
  await mkdir(join(folder, 'notes'))
  await writeFile(join(folder, 'README.md'), 'about')
  const taskset = await loadTaskset(folder)
  expect(taskset.name).toBe(basename(folder))
  expect(taskset.tasks.map(({ name }) => name)).toEqual(['a', 'b', 'c-10', 'c-2'])
})

test('a single task directory is a taskset of one', async () => {
  const { name, tasks } = await loadTaskset(await writeTask({}, 'alone'))
  expect([name, tasks.map((task) => task.name)]).toEqual(['alone', ['alone']])
})

test('the bundled examples are valid and have a solution each', async () => {
  const { tasks } = await loadTaskset(join(import.meta.dirname, '..', 'examples', 'tasks'))
  expect(tasks.length).toBeGreaterThanOrEqual(6)
  const unsolved = tasks.filter(({ files }) => !files.some((path) => /^solution\/(solve\.sh|turns\.yaml)$/.test(path)))
  expect(unsolved).toEqual([])
  expect(tasks.map(({ runtime }) => runtime.network)).toEqual(tasks.map(() => ({ mode: 'none' })))
})

test('all problems of all tasks are reported at once, one line each', async () => {
  const folder = await temporaryDirectory()
  await writeTaskInto(folder, {}, 'good')
  await writeTaskInto(
    folder,
    { 'task.toml': '[agent]\ntimeout_sec = -1\n[environment]\ncpus = "all"\n' },
    'wrong-values',
  )
  await writeTaskInto(folder, { 'task.toml': undefined, 'tests/test.sh': undefined }, 'half')
  await writeTaskInto(folder, { 'task.toml': 'x' }, 'broken')
  const error = await loadTaskset(folder).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'task-invalid' })
  expect(String(error).replace('RollcallError: ', '').split('\n')).toEqual([
    expect.stringMatching(/^task broken: task\.toml:1:\d+ is "x": expected valid TOML/),
    'task half: task.toml is missing: expected a file that describes the task',
    'task half: tests/test.sh is missing: expected a script that writes /logs/verifier/reward.txt',
    'task wrong-values: agent.timeout_sec is -1: expected a number of seconds above 0',
    'task wrong-values: environment.cpus is "all": expected a number of CPUs above 0',
  ])
})

test('names that differ only in case are duplicates', async () => {
  const folder = await temporaryDirectory()
  for (const name of ['Sort', 'sort']) await writeTaskInto(folder, {}, name)
  await expect(loadTaskset(folder)).rejects.toMatchObject({
    code: 'task-invalid',
    message: expect.stringContaining(
      'task Sort: name is "Sort": expected a name that is not also used as "sort" (task sort)',
    ),
  })
})

test('a path without tasks is refused with the path and what is expected', async () => {
  const folder = await temporaryDirectory()
  await writeFile(join(folder, 'file'), '')
  const refused = (path: string) => loadTaskset(path).catch((error: unknown) => String(error))
  expect(await refused(folder)).toContain(`Taskset ${JSON.stringify(folder)} holds no task: expected a directory`)
  expect(await refused(join(folder, 'none'))).toContain('none" does not exist: expected a directory')
  expect(await refused(join(folder, 'file'))).toContain('file" is a file of another kind: expected a directory')
})

test.each(['task.toml', 'instruction.md', 'rollcall.yaml', 'tests/test.sh'])(
  'a pipe as %s is refused by name, and nobody waits for it',
  async (field) => {
    const task = await writeTask({ [field]: undefined, 'tests/more': 'so that the folder is there' })
    expect(spawnSync('mkfifo', [join(task, field)]).status).toBe(0)
    await expect(loadTaskset(task)).rejects.toThrow(`${field} is a special file: expected a file, folder`)
  },
)
