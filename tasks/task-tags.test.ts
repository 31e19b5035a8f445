import { expect, test } from 'vitest'
import { taskTags } from './task-tags.ts'

test('tags, keywords, category and difficulty are what results are grouped by, each once', () => {
  const metadata = { tags: ['shell', 'git'], category: 'devops', difficulty: 'hard', author: 'me' }
  expect(taskTags({ metadata, keywords: ['git', 'slow'] })).toEqual([
    'shell',
    'git',
    'slow',
    'category:devops',
    'difficulty:hard',
  ])
})

test('metadata is free-form: what is no text is no tag', () => {
  expect(taskTags({ metadata: { tags: [1, 'a', null, ' '], category: { name: 'x' }, difficulty: 3 } })).toEqual(['a'])
  expect(taskTags({ metadata: { tags: 'alone' } })).toEqual(['alone'])
  expect(taskTags({ metadata: {} })).toEqual([])
})
