import type { Store } from './store.ts'

/** Stores a value once. When the key is taken, what is stored there counts, not `value`. */
export async function putJsonOnce<Value>(store: Store, key: string, value: Value): Promise<Value> {
  const answer = await store.putOnce(key, Buffer.from(JSON.stringify(value)))
  if (answer === 'stored') return value
  return (await getJson<Value>(store, key)) ?? value
}

/** Reads what Rollcall has stored; the key's docstring says its type. */
export async function getJson<Value>(store: Store, key: string): Promise<Value | undefined> {
  const bytes = await store.get(key)
  return bytes === undefined ? undefined : (JSON.parse(bytes.toString()) as Value)
}
