/**
 * Shares one window of concurrency among shards, so that it stays full across shard ends. At any time one shard fills
 * (it still has rollouts to start); the earlier ones drain and report what they still have in flight. The filling shard
 * may use what the draining ones have given up.
 */
export class ShardGrants {
  readonly #draining = new Map<number, number>()
  #filling: number | undefined

  /** The shard that still has rollouts to start. */
  begin(shard: number): void {
    this.#filling = shard
  }

  /** A shard has started its last rollout and has `running` in flight; may come again with fewer. */
  reportDraining(shard: number, running: number): void {
    if (this.#filling === shard) this.#filling = undefined
    const known = this.#draining.get(shard)
    if (known === undefined || running < known) this.#draining.set(shard, running)
  }

  end(shard: number): void {
    if (this.#filling === shard) this.#filling = undefined
    this.#draining.set(shard, 0)
  }

  isFilling(): boolean {
    return this.#filling !== undefined
  }

  /** What the filling shard, or the next one, may have in flight. */
  available(size: number): number {
    const held = [...this.#draining.values()].reduce((sum, running) => sum + running, 0)
    return Math.max(0, size - held)
  }

  current(): number | undefined {
    return this.#filling
  }
}
