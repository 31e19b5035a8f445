import { describe, expect, test } from 'vitest'
import { selectTasks } from './select-tasks.ts'

const tasks = ['edit-a', 'edit-b', 'find-a', 'find-b', 'run-a', 'run-b'].map((name, index) => ({
  name,
  metadata: { difficulty: index < 3 ? 'easy' : 'hard', tags: [`t${index}`, 'all'], level: { n: index }, 'a.b': true },
}))

function names(selection: Parameters<typeof selectTasks>[1]): string[] {
  return selectTasks(tasks, selection).map(({ name }) => name)
}

describe('selecting tasks', () => {
  test.each([
    [{}, ['edit-a', 'edit-b', 'find-a', 'find-b', 'run-a', 'run-b']],
    [{ include: ['edit-*', 'run-b'] }, ['edit-a', 'edit-b', 'run-b']],
    [{ include: ['*-a'], exclude: ['{run,find}-*'] }, ['edit-a']],
    [{ where: { difficulty: ['easy'] }, limit: 2 }, ['edit-a', 'edit-b']],
    [{ where: { tags: ['t1', 't4'] } }, ['edit-b', 'run-a']],
    [{ where: { 'level.n': ['5'], 'a.b': ['true'] } }, ['run-b']],
  ])('%o leaves %o', (selection, expected) => expect(names(selection)).toEqual(expected))

  test('a seed gives one order, on every machine and however the tasks come', () => {
    const order = ['run-b', 'edit-a', 'find-a', 'find-b', 'run-a', 'edit-b']
    expect(names({ seed: 7 })).toEqual(order)
    expect(selectTasks(tasks.toReversed(), { seed: 7 }).map(({ name }) => name)).toEqual(order)
    expect(names({ seed: 7, limit: 2 })).toEqual(order.slice(0, 2))
    expect(names({ seed: 8 })).not.toEqual(order)
  })

  test('nothing left is an error that says why', () => {
    expect(() => names({ include: ['x*'] })).toThrow(
      'No task is left of 6 tasks: --include "x*" matches none of them; there are edit-a, edit-b',
    )
    expect(() => names({ include: ['run-*'], exclude: ['*'] })).toThrow('of 2 tasks: --exclude "*" leaves none')
    expect(() => names({ where: { difficulty: ['odd'] } })).toThrow('is true for none (difficulty is easy, hard)')
    expect(() => names({ where: { dificulty: ['easy'] } })).toThrow('(no task has dificulty)')
  })
})
