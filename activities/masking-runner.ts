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
      const { stdoutSink, stderrSink, isPiece } = request
      const sinks = {
        ...(stdoutSink && { stdoutSink: masked(stdoutSink, mask.stream({ isPiece })) }),
        ...(stderrSink && { stderrSink: masked(stderrSink, mask.stream()) }),
      }
      const result = await runner.exec({ ...request, ...sinks }, options)
      const stdout = captured(result.stdout, mask)
      return { ...result, stdout: isPiece ? withoutParts(stdout, mask) : stdout, stderr: captured(result.stderr, mask) }
    },
    acknowledge: (mark) => runner.acknowledge(mark),
    ...liveExecs(runner),
    readOutput: async (from) => {
      const read = await runner.readOutput(from)
      const shown = (bytes: Buffer): Buffer => mask.withoutEnd(mask.withoutBeginning(mask.bytes(bytes)))
      return { ...read, stdout: shown(read.stdout), stderr: shown(read.stderr) }
    },
    stop: (target) => runner.stop(target),
    hello: () => runner.hello(),
    close: () => runner.close(),
  }
}

/** Whoever detaches destroys the sink before its end; then nothing half may be stored behind it either. */
function masked(sink: Writable, stream: Transform): Transform {
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

/** Of a piece of output: without what may be a part of a value that was cut there. */
function withoutParts(output: CapturedOutput, mask: Mask): CapturedOutput {
  const head = mask.withoutBeginning(output.head)
  if (!output.truncated) return { ...output, head: mask.withoutEnd(head) }
  return { ...output, head, tail: mask.withoutEnd(output.tail) }
}
