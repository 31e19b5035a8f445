import { DockerfileParser, From, JSONInstruction, Keyword, PropertyInstruction } from 'dockerfile-ast'
import type { Instruction } from 'dockerfile-ast'
import { posix } from 'node:path'
import type { Problem } from '../contract/provider.ts'
import { expandWord, type Variables } from './dockerfile-words.ts'
import { readOnlyPaths } from './host-system.ts'

export interface CopyStep {
  readonly type: 'copy'
  readonly line: number
  /** As written, relative to the context. */
  readonly sources: readonly string[]
  /** Absolute. */
  readonly destination: string
  /** Ends with `/` or is a list's: things are put into it, not in its place. */
  readonly intoDirectory: boolean
  /** Of `--chmod`. */
  readonly mode?: number
}

export type DockerfileStep = CopyStep | { readonly type: 'directory'; readonly line: number; readonly path: string }

/** What a Dockerfile comes to where nothing can be run while it is built. */
export interface DockerfilePlan {
  /** Images of the FROM line, as written. */
  readonly from: string
  readonly env: Readonly<Record<string, string>>
  readonly workdir: string
  readonly steps: readonly DockerfileStep[]
  /** Instructions that are known and have no effect here: "ENTRYPOINT in line 9". */
  readonly withoutEffect: readonly string[]
  /** Every line that cannot be honoured. */
  readonly problems: readonly Problem[]
}

interface State {
  from: string
  variables: Record<string, string>
  env: Record<string, string>
  workdir: string
  steps: DockerfileStep[]
  withoutEffect: string[]
  problems: Problem[]
  stages: number
}

class Refusal extends Error {}

const advice = 'run this task with --provider docker'
const honoured = 'FROM, WORKDIR, COPY, ADD, ENV, ARG, LABEL and USER root'

/** Reads a Dockerfile; touches no file. Its problems name `environment/Dockerfile:<line>`. */
export function planDockerfile(text: string): DockerfilePlan {
  const state: State = {
    from: '',
    variables: {},
    env: {},
    workdir: '/',
    steps: [],
    withoutEffect: [],
    problems: [],
    stages: 0,
  }
  for (const instruction of DockerfileParser.parse(text).getInstructions()) apply(instruction, state)
  if (state.stages === 0) {
    state.problems.push({ field: 'environment/Dockerfile', expected: 'a FROM line; there is none' })
  }
  const { variables: _, stages: __, ...plan } = state
  return plan
}

export function dockerfileProblem(line: number, value: string, reason: string): Problem {
  return { field: `environment/Dockerfile:${line}`, value: shorten(value), expected: `${reason}; ${advice}` }
}

function apply(instruction: Instruction, state: State): void {
  try {
    const handle = handlers[instruction.getKeyword()]
    if (handle === undefined)
      throw new Refusal(`the local provider runs nothing while building, it honours ${honoured}`)
    handle(instruction, state)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    state.problems.push(dockerfileProblem(lineOf(instruction), instruction.toString(), reason))
  }
}

const ignored = (): void => {}
const handlers: Partial<Record<string, (instruction: Instruction, state: State) => void>> = {
  [Keyword.FROM]: applyFrom,
  [Keyword.ARG]: applyArg,
  [Keyword.ENV]: applyEnv,
  [Keyword.WORKDIR]: applyWorkdir,
  [Keyword.COPY]: applyCopy,
  [Keyword.ADD]: applyCopy,
  [Keyword.USER]: applyUser,
  [Keyword.CMD]: noteWithoutEffect,
  [Keyword.ENTRYPOINT]: noteWithoutEffect,
  [Keyword.LABEL]: ignored,
  [Keyword.EXPOSE]: ignored,
  [Keyword.MAINTAINER]: ignored,
  [Keyword.STOPSIGNAL]: ignored,
}

function applyFrom(instruction: Instruction, state: State): void {
  state.stages += 1
  if (state.stages > 1) throw new Refusal('the local provider builds one stage only')
  state.from = expand((instruction instanceof From && instruction.getImage()) || '', state.variables)
  state.variables = { ...state.env }
}

function applyArg(instruction: Instruction, state: State): void {
  for (const [name, value] of properties(instruction)) {
    if (value !== null && !(name in state.env)) state.variables[name] = expand(value, state.variables)
  }
}

function applyEnv(instruction: Instruction, state: State): void {
  // Values of one line see the variables as they were before it.
  const before = { ...state.variables }
  for (const [name, value] of properties(instruction)) {
    state.env[name] = expand(value ?? '', before)
    state.variables[name] = state.env[name]
  }
}

function applyWorkdir(instruction: Instruction, state: State): void {
  state.workdir = writablePath(expand(instruction.getArgumentsContent() ?? '', state.variables), state.workdir)
  state.steps.push({ type: 'directory', line: lineOf(instruction), path: state.workdir })
}

function applyUser(instruction: Instruction, state: State): void {
  const user = expand(instruction.getArgumentsContent() ?? '', state.variables)
  if (!['root', '0', 'root:root', '0:0'].includes(user)) throw new Refusal('the local provider has no user but root')
}

function noteWithoutEffect(instruction: Instruction, state: State): void {
  state.withoutEffect.push(`${instruction.getKeyword()} in line ${lineOf(instruction)}`)
}

function applyCopy(instruction: Instruction, state: State): void {
  if (!(instruction instanceof JSONInstruction)) throw new Refusal('cannot be read')
  const mode = readCopyFlags(instruction, state.variables)
  const words = copyWords(instruction.getArgumentsContent() ?? '').map((word) => expand(word, state.variables))
  const written = words.at(-1) ?? ''
  const sources = words.slice(0, -1)
  if (sources.length === 0) throw new Refusal('needs a source and a destination')
  if (instruction.getKeyword() === 'ADD') refuseWhatAddUnpacks(sources)
  state.steps.push({
    type: 'copy',
    line: lineOf(instruction),
    sources,
    destination: writablePath(written, state.workdir),
    intoDirectory: /\/$|(^|\/)\.{1,2}$/.test(written) || sources.length > 1,
    ...(mode === undefined ? {} : { mode }),
  })
}

function readCopyFlags(instruction: JSONInstruction, variables: Variables): number | undefined {
  let mode: number | undefined
  for (const flag of instruction.getFlags()) {
    const value = expand(flag.getValue() ?? '', variables)
    if (flag.getName() === 'chmod' && /^0?[0-7]{3,4}$/.test(value)) mode = Number.parseInt(value, 8)
    else if (flag.getName() === 'chown' && /^(root|0)(:(root|0))?$/.test(value)) continue
    else if (flag.getName() === 'link') continue
    else throw new Refusal(`the local provider cannot honour --${flag.getName()}=${value}`)
  }
  return mode
}

/** The JSON form, or words between spaces; quotes do not keep spaces together there (Docker's do not either). */
function copyWords(content: string): string[] {
  if (content.includes('<<')) throw new Refusal('the local provider knows no here-documents')
  if (content.startsWith('[')) {
    const list: unknown = JSON.parse(content)
    if (Array.isArray(list) && list.every((item) => typeof item === 'string')) return list
  }
  return content.split(/\s+/).filter((word) => word !== '')
}

function refuseWhatAddUnpacks(sources: readonly string[]): void {
  for (const source of sources) {
    if (/^(https?:|git@|git:|ssh:)/.test(source)) throw new Refusal('the local provider fetches nothing')
    if (/\.(tar|tgz|tbz2?|txz|tar\.\w+)$/i.test(source)) throw new Refusal('the local provider unpacks no archives')
  }
}

function writablePath(path: string, workdir: string): string {
  const absolute = posix.resolve(workdir, path)
  const taken = readOnlyPaths.find((owned) => absolute === owned || absolute.startsWith(`${owned}/`))
  if (taken !== undefined) throw new Refusal(`${taken} is the host's own and read-only with the local provider`)
  return absolute
}

function properties(instruction: Instruction): [string, string | null][] {
  if (!(instruction instanceof PropertyInstruction)) return []
  return instruction.getProperties().map((property) => [property.getName(), property.getUnescapedValue()])
}

function expand(word: string, variables: Variables): string {
  return expandWord(word, variables)
}

function lineOf(instruction: Instruction): number {
  return instruction.getRange().start.line + 1
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > 80 ? `${line.slice(0, 77)}…` : line
}
