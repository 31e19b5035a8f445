import { attachArgv, supervisorArgv, type RunnerPlaces } from '../../runner/scripts.ts'
import type { SandboxSpec } from '../contract/runtime.ts'

/** On the sandbox's own disk: Modal has no other, and a sandbox that has ended is never started again. */
export const runnerPlaces: RunnerPlaces = { journalDir: '/.rollcall/journal', outputDir: '/.rollcall/output' }

/** A command to start, and what its environment must hold. */
export interface Program {
  readonly command: string[]
  readonly env: Readonly<Record<string, string>>
}

const variable = '_rollcall'

/** The main process of a sandbox. The working directory of an order is made where it is missing. */
export function mainProgram({ limits, workdir }: SandboxSpec, child: readonly string[] | undefined): Program {
  const supervisor = supervisorArgv({
    ...runnerPlaces,
    lifetimeMs: limits.lifetimeMs,
    ...(child !== undefined && { child }),
  })
  return hidden(supervisor, workdir === undefined ? '' : `mkdir -p ${quoted(workdir)}; cd ${quoted(workdir)}`)
}

/** In `/`, because the working directory may have been removed inside. */
export function attachProgram(place: { workdir: string; user?: string }): Program {
  return hidden(attachArgv({ ...runnerPlaces, ...place }), 'cd /')
}

/** Waits until the supervisor can be spoken to, for 20 s at most, and says where it was started. */
export const readinessCommand: readonly string[] = [
  'sh',
  '-c',
  `i=0
until [ -s ${runnerPlaces.journalDir}/supervisor ] || [ $i -ge 400 ]; do sleep 0.05; i=$((i + 1)); done
[ $i -lt 400 ] && pwd`,
]

/**
 * `sh -c TEXT NAME ARG…` with the text in the environment, which the program clears first: in the list of arguments it
 * would hold so many words that a `pkill -f sleep` of an agent ended the sandbox.
 */
function hidden(argv: readonly string[], before: string): Program {
  const [shell = '', , text = '', ...rest] = argv
  return {
    command: [shell, '-c', `eval "$${variable}"`, ...rest],
    env: { [variable]: `unset ${variable}\n${before}\n${text}` },
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
