import { RollcallError } from '../protocol/failure.ts'
import type { Readable } from 'node:stream'

/**
 * Where everything shared or kept lies, as write-once objects (design §3). Payloads in Temporal carry keys of it,
 * never contents. Written once, never changed: `exists` means "discard yours, read back and use what is stored".
 */
export interface Store {
  /** `file:///dir` or `s3://bucket/prefix`; part of a job's input. */
  readonly url: string
  /**
   * Stores `bytes` under `key` unless the key is taken; atomic: a reader sees all of an object or none of it.
   * @param key segments of `[A-Za-z0-9._-]` separated by `/`
   * @throws RollcallError `store-unavailable`
   */
  putOnce(key: string, bytes: Uint8Array | Readable): Promise<'stored' | 'exists'>
  /** The whole object, or undefined where there is none. */
  get(key: string): Promise<Buffer | undefined>
  /** The object as a stream, or undefined where there is none. */
  open(key: string): Promise<Readable | undefined>
  /** All keys that begin with `prefix`, sorted. `prefix` is taken literally. */
  list(prefix: string): Promise<string[]>
  /** The object's file on this machine, where the driver has one (used for hard links). */
  localPath?(key: string): string
}

const keyPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/

/** Keys become file names and object names: no empty, hidden or climbing segment can pass. */
export function assertStoreKey(key: string): void {
  if (!keyPattern.test(key)) {
    throw new RollcallError(
      'internal',
      `Store key ${JSON.stringify(key)} must be segments of [A-Za-z0-9._-] joined by /`,
    )
  }
}
