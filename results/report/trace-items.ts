import type { TraceLine } from '../trace.ts'

export type ExecLine = TraceLine & { type: 'exec' }

/** What stands on its own in the report: a call has its commands with it. */
export type TraceItem =
  | { readonly type: 'line'; readonly line: Exclude<TraceLine, { type: 'call' }> }
  | { readonly type: 'call'; readonly line: TraceLine & { type: 'call' }; readonly execs: readonly ExecLine[] }
  /** A line that was too long to be read. */
  | { readonly type: 'unread' }

/** Commands that are shown with their call; what a tool does beyond is in the trace. */
const mostExecs = 20

/** Lines of a trace, in order, as items. Commands stand in the trace right before the call that they belong to. */
export async function* traceItems(lines: AsyncIterable<string | undefined>): AsyncGenerator<TraceItem> {
  let execs: ExecLine[] = []
  const released = function* (): Generator<TraceItem> {
    for (const line of execs) yield { type: 'line', line }
    execs = []
  }
  for await (const text of lines) {
    const line = text === undefined ? undefined : (JSON.parse(text) as TraceLine)
    if (line?.type === 'exec') {
      if (execs[0] !== undefined && !isSameCall(execs[0], line)) yield* released()
      if (execs.length < mostExecs) execs.push(line)
      continue
    }
    if (line?.type === 'call' && execs[0] !== undefined && isSameCall(execs[0], line)) {
      yield { type: 'call', line, execs }
      execs = []
      continue
    }
    yield* released()
    if (line === undefined) yield { type: 'unread' }
    else yield line.type === 'call' ? { type: 'call', line, execs: [] } : { type: 'line', line }
  }
  yield* released()
}

function isSameCall(exec: ExecLine, other: ExecLine | (TraceLine & { type: 'call' })): boolean {
  const batch = other.type === 'exec' ? other.batch : other.turn
  return (
    exec.incarnation === other.incarnation &&
    exec.phase === other.phase &&
    exec.batch === batch &&
    exec.call === other.call
  )
}
