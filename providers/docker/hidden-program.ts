/** A process to start: its arguments, and what its environment must hold. */
export interface HiddenProgram {
  readonly argv: string[]
  readonly env: string[]
}

const variable = '_rollcall'

/**
 * `sh -c TEXT NAME ARG…` with the text handed over in the environment, which the program clears first. In an argument
 * list it would hold so many words that a `pkill -f sleep` of an agent ended the sandbox; init passes signals on, so
 * its arguments count too.
 */
export function hiddenProgram(argv: readonly string[], before = ''): HiddenProgram {
  const [shell = '', option = '', text = '', ...rest] = argv
  if (option !== '-c') return { argv: [...argv], env: [] }
  return {
    argv: [shell, '-c', `eval "$${variable}"`, ...rest],
    env: [`${variable}=unset ${variable}\n${before}\n${text}`],
  }
}
