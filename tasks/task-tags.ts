import type { Task } from './task.ts'

/**
 * What a task's results are grouped by besides its name: the texts of `metadata.tags` and `[task] keywords` as they are,
 * `metadata.category` and `metadata.difficulty` as `category:…` and `difficulty:…`. Metadata is free-form: what is no
 * text, or a list of them, is no tag.
 */
export function taskTags({ metadata, keywords = [] }: Pick<Task, 'metadata' | 'keywords'>): string[] {
  const named = ['category', 'difficulty'].flatMap((name) => textsOf(metadata[name]).map((text) => `${name}:${text}`))
  return [...new Set([...textsOf(metadata['tags']), ...keywords, ...named])]
}

function textsOf(value: unknown): string[] {
  const values: unknown[] = Array.isArray(value) ? value : [value]
  return values.filter((one) => typeof one === 'string').filter((text) => text.trim() !== '')
}
