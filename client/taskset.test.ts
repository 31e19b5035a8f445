import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createFileStore } from '../store/file-store.ts'
import { defineTask } from '../tasks/define-task.ts'
import { uploadTasks } from '../tasks/task-copy.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { prepareJobOptions } from './job-options.ts'
import { Taskset } from './taskset.ts'

async function place() {
  const folder = await temporaryFolder('taskset')
  const storeUrl = pathToFileURL(join(folder, 'store')).href
  const cacheDirectory = join(folder, 'cache')
  const environment = { env: {}, stateDirectory: folder, cacheDirectory, storeUrl, workingDirectory: folder }
  return { folder, environment, store: createFileStore(join(folder, 'store')) }
}

const rows = ['a', 'b', 'c'].map((name, level) =>
  defineTask({ name, instruction: 'x', image: 'debian:12', check: 'true', metadata: { level } }),
)

describe('tasksets of a program', () => {
  test('tasks that are there are selected and filtered, and the job keeps how', async () => {
    const { environment, folder } = await place()
    const taskset = await Taskset.from(rows, { name: 'mine', runtime: { user: 'u' }, environment })
    const chosen = taskset.filter(({ metadata }) => metadata['level'] !== 1).select({ where: { level: ['2'] } })
    expect(chosen.tasks.map(({ name }) => name)).toEqual(['c'])
    const { options } = await prepareJobOptions(
      chosen,
      { provider: { name: 'local', runtime: { user: 'p' } } },
      { env: {}, workingDirectory: folder },
    )
    expect(options).toMatchObject({
      taskset: 'mine',
      tasksetRuntime: { user: 'u' },
      provider: { name: 'local', runtime: { user: 'p' } },
      selection: { where: { level: ['2'] } },
    })
    expect(() => taskset.filter(() => false)).toThrow('No task is left')
  })

  test('a grader function needs the module that workers load it from', async () => {
    const { environment, folder } = await place()
    const graded = defineTask({ name: 'g', instruction: 'x', image: 'debian:12', grade: () => 1 })
    await expect(Taskset.from([graded], { environment })).rejects.toThrow('expected Taskset.from(tasks, { module: ')
    const path = join(folder, 'g.ts')
    const source = `import { defineTask } from 'rollcall'
      export const g = defineTask({ name: 'g', instruction: 'x', image: 'debian:12', grade: () => 1 })`
    await writeFile(path, source)
    const taskset = await Taskset.from([graded], { module: pathToFileURL(path).href, environment })
    const { options, bundles } = await prepareJobOptions(taskset, {}, { env: {}, workingDirectory: folder })
    expect(bundles.map(({ key }) => key)).toEqual([taskset.tasks[0]?.grader?.bundle])
    expect(options).not.toHaveProperty('allowEnv')
  })

  test('the tasks of an earlier job come out of the store, or it is said what to do', async () => {
    const { environment, store } = await place()
    const { tasks } = await Taskset.from(rows, { environment })
    await uploadTasks(store, tasks.slice(0, 1))
    const kept = tasks.map(({ name, checksum }) => ({ name, checksum }))
    const restored = await Taskset.restore({ name: 'kept', tasks: kept.slice(0, 1) }, { environment })
    expect(restored.tasks).toMatchObject(kept.slice(0, 1))
    const elsewhere = await place()
    await expect(
      Taskset.restore({ name: 'kept', tasks: kept }, { environment: elsewhere.environment }),
    ).rejects.toThrow('does not have task a: name the taskset itself')
  })

  test('what a job may see of the host is kept by name', async () => {
    const { environment, folder } = await place()
    const asking = [defineTask({ ...rows[0], name: 'a', instruction: 'x', checkEnv: { A: '${TOKEN:-x}' } })]
    const taskset = await Taskset.from(asking, { environment })
    expect(taskset.askedVariables()).toEqual([{ name: 'TOKEN', by: ['a'], hasFallback: true }])
    await expect(prepareJobOptions(taskset, {}, { env: {}, workingDirectory: folder })).rejects.toMatchObject({
      code: 'configuration-invalid',
    })
    const { options } = await prepareJobOptions(taskset, { allowEnv: 'all' }, { env: {}, workingDirectory: folder })
    expect(options.allowEnv).toEqual(['TOKEN'])
  })
})
