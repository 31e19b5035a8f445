import type { LiveExecs } from './runner.ts'

/** A runner's verbs for running commands, for whoever wraps its others. */
export function liveExecs(runner: LiveExecs): LiveExecs {
  return {
    writeInput: (input) => runner.writeInput(input),
    readOutput: (from) => runner.readOutput(from),
    signal: (target) => runner.signal(target),
  }
}
