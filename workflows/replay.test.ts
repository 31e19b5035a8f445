import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js'
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker'
import { DeterminismViolationError } from '@temporalio/workflow'
import { describe, expect, test } from 'vitest'
import { cacheDirectory } from '../protocol/directories.ts'
import { workflowBundlePath } from '../workers/workflow-bundle.ts'

const folder = fileURLToPath(new URL('./histories/', import.meta.url))
const names = (await readdir(folder)).filter((name) => name.endsWith('.json'))

Runtime.install({ logger: new DefaultLogger('ERROR') })

const read = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(`${folder}${name}`, 'utf8')) as Record<string, unknown>

async function replay(json: Record<string, unknown>, name: string): Promise<void> {
  const codePath = await workflowBundlePath(cacheDirectory(process.env))
  await Worker.runReplayHistory({ workflowBundle: { codePath } }, historyFromJSON(json), name)
}

describe('histories of earlier versions go on with today’s workflows', () => {
  test.each(['happy', 'retried', 'cancelled', 'continued-as-new', 'steps'])(
    'there is one of a rollout that was %s',
    (shape) => {
      expect(names.some((name) => name.startsWith(`rollout-${shape}`))).toBe(true)
    },
  )

  test('there is one of a pool, in more than one run', () => {
    expect(names).toEqual(expect.arrayContaining(['pool.v1.json', 'pool-2.v1.json']))
  })

  test('there is one of a schedule’s start', () => {
    expect(names.some((name) => name.startsWith('nightly-happy'))).toBe(true)
  })

  test.each(names)('%s', async (name) => replay(await read(name), name))
})

test('a history in which another activity was called does not replay', async () => {
  const json = await read('rollout-happy.v1.json')
  const mutated = JSON.parse(JSON.stringify(json).replaceAll('"gradeRollout"', '"otherActivity"')) as typeof json
  expect(mutated).not.toEqual(json)
  await expect(replay(mutated, 'mutated')).rejects.toThrow(DeterminismViolationError)
})
