import { z } from 'zod'
import { RollcallError } from '../protocol/failure.ts'

/**
 * How far somebody has read a job's events: which rollouts (by their place in the plan) are read to their end, how many
 * events of the others, and the job's own last state. Bounded by what is in flight, not by the size of the job.
 */
export class Cursor {
  readonly #done = new Set<number>()
  readonly #partial = new Map<number, number>()
  jobState: string | undefined

  static parse(text: string | undefined): Cursor {
    const cursor = new Cursor()
    if (text === undefined) return cursor
    const { d, p, j } = parseCursor(text)
    for (const [from, to] of d) for (let at = from; at <= to; at += 1) cursor.#done.add(at)
    for (const [rollout, count] of p) cursor.#partial.set(rollout, count)
    cursor.jobState = j
    return cursor
  }

  isDone(rollout: number): boolean {
    return this.#done.has(rollout)
  }

  /** How many events of a rollout have been read. */
  countOf(rollout: number): number {
    return this.#partial.get(rollout) ?? 0
  }

  advance(rollout: number): void {
    this.#partial.set(rollout, this.countOf(rollout) + 1)
  }

  finish(rollout: number): void {
    this.#partial.delete(rollout)
    this.#done.add(rollout)
  }

  toString(): string {
    const value = {
      d: ranges(this.#done),
      p: [...this.#partial],
      ...(this.jobState === undefined ? {} : { j: this.jobState }),
    }
    return Buffer.from(JSON.stringify(value)).toString('base64url')
  }
}

const pair = z.tuple([z.number().int().min(0), z.number().int().min(0)])
const cursorSchema = z.object({ d: z.array(pair), p: z.array(pair), j: z.string().optional() })

function parseCursor(text: string): z.infer<typeof cursorSchema> {
  try {
    return cursorSchema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()))
  } catch (error) {
    throw new RollcallError(
      'configuration-invalid',
      `Cursor ${JSON.stringify(text.slice(0, 80))} is not one: expected the cursor of an earlier event`,
      { cause: error },
    )
  }
}

/** `{0, 1, 2, 7}` as `[[0, 2], [7, 7]]`. */
function ranges(numbers: ReadonlySet<number>): [number, number][] {
  const result: [number, number][] = []
  for (const at of [...numbers].toSorted((a, b) => a - b)) {
    const last = result.at(-1)
    if (last !== undefined && last[1] === at - 1) last[1] = at
    else result.push([at, at])
  }
  return result
}
