import { execName } from '../protocol/exec.ts'
import type { ActivityNote } from '../protocol/activity-note.ts'
import { liveExecs } from '../runner/live-execs.ts'
import type { Runner } from '../runner/runner.ts'

/** More do not fit on a screen. */
const mostExecs = 8

/**
 * The runner, with the commands that run told to `note` as they begin and end. One that an earlier attempt has noted
 * already runs since then.
 * @param earlier what the attempt before this one noted last
 */
export function notingRunner(
  runner: Runner,
  { note, earlier }: { note: (note: ActivityNote) => void; earlier: ActivityNote | undefined },
): Runner {
  const running = new Map<string, number>()
  const known = new Map(earlier?.execs.map(({ name, sinceMs }) => [name, sinceMs]))
  const tell = () => note({ execs: [...running].slice(0, mostExecs).map(([name, sinceMs]) => ({ name, sinceMs })) })
  return {
    exec: async (request, options) => {
      const name = execName(request.id)
      running.set(name, known.get(name) ?? Date.now())
      tell()
      try {
        return await runner.exec(request, options)
      } finally {
        running.delete(name)
        tell()
      }
    },
    acknowledge: (mark) => runner.acknowledge(mark),
    ...liveExecs(runner),
    stop: (target) => runner.stop(target),
    hello: () => runner.hello(),
    close: () => runner.close(),
  }
}
