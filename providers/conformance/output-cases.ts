import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import type { ConformanceCase } from './conformance-case.ts'
import { bytesOf, succeeded, textOf } from './expectations.ts'

const megabyte = 1_000_000
/** What a worker may grow by while 200 MB pass through it. */
const growthLimitBytes = 120 * megabyte

/** What a command prints, much of it included. */
export const outputCases: readonly ConformanceCase[] = [
  {
    name: 'output is bytes: NUL, broken UTF-8 and no newline at the end survive',
    run: async (context) => {
      const { run } = await context.shared()
      const result = await run(`printf '\\000\\377\\303(\\000x'; printf '\\200' >&2`)
      assert.deepEqual(bytesOf(result.stdout), Buffer.from([0, 0xff, 0xc3, 0x28, 0, 0x78]))
      assert.deepEqual(bytesOf(result.stderr), Buffer.from([0x80]))
    },
  },
  {
    name: 'what is more than the limit is cut in the middle, counted and flagged',
    run: async (context) => {
      const { run } = await context.shared()
      const { stdout, stderr } = await run('seq 1 100000; echo short >&2', { captureBytes: 1000 })
      assert.equal(stdout.truncated, true)
      assert.equal(stdout.bytes, 588_895)
      assert.equal(stdout.head.length, 1000)
      assert.equal(stdout.tail.length, 1000)
      assert.match(stdout.head.toString(), /^1\n2\n3\n/)
      assert.match(stdout.tail.toString(), /99999\n100000\n$/)
      assert.equal(textOf(stderr), 'short\n')
    },
  },
  {
    name: '200 MB of output are bounded in memory, counted and flagged',
    run: async (context) => {
      const { run } = await context.shared()
      const memory = watchMemory()
      const { outcome, stdout } = await run(`head -c ${200 * megabyte} /dev/zero`, { timeoutMs: 120_000 })
      const grownBytes = memory.stop()
      assert.deepEqual(outcome, { type: 'exited', code: 0 })
      assert.equal(stdout.bytes, 200 * megabyte)
      assert.equal(stdout.truncated, true)
      assert.ok(stdout.head.length + stdout.tail.length < megabyte)
      assert.ok(grownBytes < growthLimitBytes, `the worker grew by ${Math.round(grownBytes / megabyte)} MB`)
    },
  },
  {
    name: 'a sink receives every byte, in order',
    run: async (context) => {
      const { run } = await context.shared()
      const chunks: Buffer[] = []
      const stdoutSink = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          chunks.push(Buffer.from(chunk))
          done()
        },
      })
      const { stdout } = await run('seq 1 100000', { captureBytes: 10, stdoutSink })
      assert.equal(stdout.truncated, true)
      assert.equal(
        Buffer.concat(chunks).toString(),
        Array.from({ length: 100_000 }, (_, index) => `${index + 1}\n`).join(''),
      )
      assert.equal(stdoutSink.writableEnded, true)
    },
  },
  {
    name: 'much on stderr does not hold up stdout',
    run: async (context) => {
      const { run } = await context.shared()
      const { outcome, stdout, stderr } = await run(`head -c ${megabyte} /dev/zero >&2; echo out`)
      assert.deepEqual(outcome, { type: 'exited', code: 0 })
      assert.equal(textOf(stdout), 'out\n')
      assert.equal(stderr.bytes, megabyte)
    },
  },
  {
    name: 'a child left in the background does not delay the answer, and lives on',
    run: async (context) => {
      const { run } = await context.shared()
      const startedAt = performance.now()
      const pid = succeeded(await run('sleep 60 & echo $!')).trim()
      assert.ok(performance.now() - startedAt < 5_000, 'the answer waited for the child')
      succeeded(await run(`kill -0 ${pid} && kill ${pid}`))
    },
  },
]

function watchMemory(): { stop(): number } {
  const startBytes = process.memoryUsage.rss()
  let mostBytes = startBytes
  const timer = setInterval(() => {
    mostBytes = Math.max(mostBytes, process.memoryUsage.rss())
  }, 10)
  return {
    stop: () => {
      clearInterval(timer)
      return mostBytes - startBytes
    },
  }
}
