/** Items whose calls came while an earlier batch was on its way go together: a server takes few updates at a time. */
const inFlight = 2
const mostItems = 200

interface Waiting<Item, Answer> {
  readonly item: Item
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/** Collects calls into batches; each call gets its own answer. */
export class Batches<Item, Answer> {
  readonly #send: (items: readonly Item[]) => Promise<readonly Answer[]>
  #waiting: Waiting<Item, Answer>[] = []
  #sending = 0

  /** @param send answers in the order asked; what it throws is thrown to everybody in the batch */
  constructor(send: (items: readonly Item[]) => Promise<readonly Answer[]>) {
    this.#send = send
  }

  add(item: Item): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    this.#waiting.push({ item, resolve, reject })
    // Calls made in the same turn of the event loop share the first batch, too.
    queueMicrotask(() => void this.#flush())
    return promise
  }

  async #flush(): Promise<void> {
    if (this.#sending >= inFlight || this.#waiting.length === 0) return
    const batch = this.#waiting.splice(0, mostItems)
    this.#sending += 1
    try {
      const answers = await this.#send(batch.map(({ item }) => item))
      for (const [index, { resolve, reject }] of batch.entries()) {
        const answer = answers[index]
        if (answer === undefined) reject(new Error('An answer is missing from a batch'))
        else resolve(answer)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      this.#sending -= 1
      void this.#flush()
    }
  }
}
