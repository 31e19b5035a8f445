import type { Transform, Writable } from 'node:stream'
import type { CapturedOutput } from '../protocol/exec.ts'
import { liveExecs } from '../runner/live-execs.ts'
import type { Runner } from '../runner/runner.ts'
import type { Mask } from './mask.ts'

/** The runner, with secrets masked in everything that commands print: in what is kept in memory and in what is stored. */
export function maskingRunner(runner: Runner, mask: Mask): Runner {
  if (mask.isIdle) return runner
  return {
    exec: async (request, options) => {
      if (request.isTransfer) return await runner.exec(request, options)
      const { stdoutSink, stderrSink } = request
      const sinks = {
        ...(stdoutSink && { stdoutSink: masked(stdoutSink, mask) }),
        ...(stderrSink && { stderrSink: masked(stderrSink, mask) }),
      }
      const result = await runner.exec({ ...request, ...sinks }, options)
      return { ...result, stdout: captured(result.stdout, mask), stderr: captured(result.stderr, mask) }
    },
    acknowledge: (mark) => runner.acknowledge(mark),
    ...liveExecs(runner),
    readOutput: async (from) => {
      // A secret that is cut by the piece's end is not known for one: pieces are for whoever may see it.
      const read = await runner.readOutput(from)
      return { ...read, stdout: mask.bytes(read.stdout), stderr: mask.bytes(read.stderr) }
    },
    stop: (target) => runner.stop(target),
    hello: () => runner.hello(),
    close: () => runner.close(),
  }
}

/** Whoever detaches destroys the sink before its end; then nothing half may be stored behind it either. */
function masked(sink: Writable, mask: Mask): Transform {
  const stream = mask.stream()
  stream.pipe(sink)
  stream.once('close', () => {
    if (!stream.readableEnded) sink.destroy()
  })
  sink.once('error', (error) => stream.destroy(error))
  return stream
}

function captured(output: CapturedOutput, mask: Mask): CapturedOutput {
  if (!output.truncated) return { ...output, head: mask.bytes(output.head) }
  return { ...output, ...mask.cut(output) }
}
