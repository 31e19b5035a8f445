import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DockerfileParser, From, JSONInstruction, Keyword, PropertyInstruction } from 'dockerfile-ast'
import type { Dockerfile, Instruction } from 'dockerfile-ast'
import type { Problem } from '../contract/provider.ts'
import type { ImageMap } from '../docker/image-names.ts'
import { mapImage } from '../docker/image-names.ts'
import { listContext, matchSource, type ContextEntry } from '../host-sandbox/build-context.ts'
import { expandWord } from '../host-sandbox/dockerfile-words.ts'
import type { CopyStep } from './embed-files.ts'

/** One thing that is built: a line as it is written, or files of the context. */
export type BuildStep = { readonly type: 'command'; readonly text: string } | CopyStep

/** A Dockerfile as far as Modal's builder is known to take it. */
export interface DockerfilePlan {
  /** After `imageMap`. */
  readonly from: string
  readonly steps: readonly BuildStep[]
  /** Of the last USER line. */
  readonly user?: string
  /** ENTRYPOINT and CMD together; Modal starts neither. */
  readonly child?: readonly string[]
  /** What `.dockerignore` leaves. */
  readonly entries: readonly ContextEntry[]
  /** Every line that cannot be honoured, as `environment/Dockerfile:<line>`. */
  readonly problems: readonly Problem[]
}

interface State {
  readonly text: string
  readonly imageMap: ImageMap
  readonly entries: readonly ContextEntry[]
  readonly steps: BuildStep[]
  readonly problems: Problem[]
  variables: Record<string, string>
  from: string | undefined
  user: string | undefined
  entrypoint: readonly string[] | undefined
  command: readonly string[] | undefined
}

class Refusal extends Error {}

/** Reads a Dockerfile and what lies beside it; reaches nothing. @throws what reading the directory throws */
export async function planDockerfile(directory: string, imageMap: ImageMap): Promise<DockerfilePlan> {
  const text = await readFile(join(directory, 'Dockerfile'), 'utf8')
  const dockerfile = DockerfileParser.parse(text)
  const state: State = {
    text,
    imageMap,
    entries: await listContext(directory),
    steps: [],
    problems: [],
    variables: initialVariables(dockerfile),
    from: undefined,
    user: undefined,
    entrypoint: undefined,
    command: undefined,
  }
  for (const instruction of dockerfile.getInstructions()) apply(instruction, state)
  if (state.from === undefined) {
    state.problems.push({ field: 'environment/Dockerfile', value: 'none', expected: 'A FROM line; there is none.' })
  }
  const child = [...(state.entrypoint ?? []), ...(state.command ?? [])]
  return {
    from: state.from ?? '',
    steps: state.steps,
    entries: state.entries,
    problems: state.problems,
    ...(state.user !== undefined && { user: state.user }),
    ...(child.length > 0 && { child }),
  }
}

function apply(instruction: Instruction, state: State): void {
  try {
    const handle = handlers[instruction.getKeyword()]
    if (handle === undefined) throw new Refusal(`${instruction.getKeyword()} is not known to work on Modal`)
    handle(instruction, state)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    state.problems.push({
      field: `environment/Dockerfile:${instruction.getRange().start.line + 1}`,
      value: shorten(instruction.toString()),
      expected: `${reason}; publish the image and name it, or run this task with --provider docker.`,
    })
  }
}

const ignored = (): void => {}
const handlers: Partial<Record<string, (instruction: Instruction, state: State) => void>> = {
  [Keyword.FROM]: applyFrom,
  [Keyword.ARG]: applyArg,
  [Keyword.ENV]: applyEnv,
  [Keyword.RUN]: applyRun,
  [Keyword.COPY]: applyCopy,
  [Keyword.ADD]: applyCopy,
  [Keyword.USER]: applyUser,
  [Keyword.WORKDIR]: pass,
  [Keyword.LABEL]: pass,
  [Keyword.SHELL]: pass,
  [Keyword.ENTRYPOINT]: (instruction, state) => void (state.entrypoint = argvOf(instruction)),
  [Keyword.CMD]: (instruction, state) => void (state.command = argvOf(instruction)),
  [Keyword.EXPOSE]: ignored,
  [Keyword.MAINTAINER]: ignored,
  [Keyword.STOPSIGNAL]: ignored,
  [Keyword.HEALTHCHECK]: ignored,
}

function applyFrom(instruction: Instruction, state: State): void {
  if (state.from !== undefined) throw new Refusal('one stage only: the SDK has none')
  const image = expand((instruction instanceof From && instruction.getImage()) || '', state)
  if (image === 'scratch') throw new Refusal('an image with a POSIX sh in it')
  state.from = mapImage(state.imageMap, image)
  const platform = instruction instanceof From ? instruction.getPlatformFlag()?.getValue() : undefined
  if (platform && platform !== 'linux/amd64') throw new Refusal('linux/amd64, which is what Modal runs')
  state.variables = {}
}

function applyArg(instruction: Instruction, state: State): void {
  if (state.from === undefined) return
  for (const [name, value] of properties(instruction)) {
    if (value !== null) state.variables[name] = expand(value, state)
  }
  pass(instruction, state)
}

function applyEnv(instruction: Instruction, state: State): void {
  const before = { ...state, variables: { ...state.variables } }
  for (const [name, value] of properties(instruction)) state.variables[name] = expand(value ?? '', before)
  pass(instruction, state)
}

function applyRun(instruction: Instruction, state: State): void {
  const flag = instruction instanceof JSONInstruction ? instruction.getFlags()[0] : undefined
  if (flag !== undefined) throw new Refusal(`RUN without --${flag.getName()}`)
  if (/<<-?\s*["']?[A-Za-z_]/.test(sourceOf(instruction, state))) throw new Refusal('RUN without here-documents')
  pass(instruction, state)
}

function applyUser(instruction: Instruction, state: State): void {
  state.user = expand(instruction.getArgumentsContent() ?? '', state)
  pass(instruction, state)
}

function applyCopy(instruction: Instruction, state: State): void {
  if (!(instruction instanceof JSONInstruction)) throw new Refusal('cannot be read')
  const words = copyWords(instruction.getArgumentsContent() ?? '')
  const destination = words.at(-1) ?? ''
  const sources = words.slice(0, -1).map((word) => expand(word, state))
  if (sources.length === 0) throw new Refusal('a source and a destination')
  if (instruction.getKeyword() === 'ADD') refuseWhatAddFetches(sources)
  const matches = sources.flatMap((source) => {
    const found = matchSource(source, state.entries)
    if (found.length === 0) throw new Refusal(`a file of the build context instead of ${source}, which is not there`)
    return found
  })
  state.steps.push({
    type: 'copy',
    sources: matches,
    destination,
    ...(state.user !== undefined && { user: state.user }),
    ...readCopyFlags(instruction, state),
  })
}

function readCopyFlags(instruction: JSONInstruction, state: State): Pick<CopyStep, 'mode' | 'owner'> {
  let read: Pick<CopyStep, 'mode' | 'owner'> = {}
  for (const flag of instruction.getFlags()) {
    const value = expand(flag.getValue() ?? '', state)
    if (flag.getName() === 'chmod' && /^0?[0-7]{3,4}$/.test(value)) read = { ...read, mode: Number.parseInt(value, 8) }
    else if (flag.getName() === 'chown' && /^[\w.-]+(:[\w.-]+)?$/.test(value)) read = { ...read, owner: value }
    else if (flag.getName() !== 'link') throw new Refusal(`no --${flag.getName()}=${value}`)
  }
  return read
}

function copyWords(content: string): string[] {
  if (content.includes('<<')) throw new Refusal('no here-documents')
  if (content.startsWith('[')) {
    const list: unknown = JSON.parse(content)
    if (Array.isArray(list) && list.every((item) => typeof item === 'string')) return list
  }
  return content.split(/\s+/).filter((word) => word !== '')
}

function refuseWhatAddFetches(sources: readonly string[]): void {
  const fetched = sources.find((source) => /^(https?:|git@|git:|ssh:)|\.(tar|tgz|tbz2?|txz|tar\.\w+)$/i.test(source))
  if (fetched !== undefined) throw new Refusal('ADD of files and directories only; RUN can fetch and unpack')
}

function pass(instruction: Instruction, state: State): void {
  state.steps.push({ type: 'command', text: sourceOf(instruction, state) })
}

function sourceOf(instruction: Instruction, { text }: State): string {
  const { start, end } = instruction.getRange()
  const lines = text.split('\n').slice(start.line, end.line + 1)
  const last = (lines.at(-1) ?? '').slice(0, end.character)
  return [...lines.slice(0, -1), last].join('\n').slice(start.character)
}

/** The JSON form, or what a shell is given. */
function argvOf(instruction: Instruction): readonly string[] {
  const content = instruction.getArgumentsContent() ?? ''
  if (content.startsWith('[')) {
    const list: unknown = JSON.parse(content)
    if (Array.isArray(list) && list.every((item) => typeof item === 'string')) return list
  }
  return ['/bin/sh', '-c', content]
}

function initialVariables(dockerfile: Dockerfile): Record<string, string> {
  const values: Record<string, string> = {}
  for (const arg of dockerfile.getInitialARGs()) {
    const property = arg.getProperty()
    const value = property?.getUnescapedValue()
    if (property && value != null) values[property.getName()] = value
  }
  return values
}

function properties(instruction: Instruction): [string, string | null][] {
  if (!(instruction instanceof PropertyInstruction)) return []
  return instruction.getProperties().map((property) => [property.getName(), property.getUnescapedValue()])
}

function expand(word: string, { variables }: Pick<State, 'variables'>): string {
  return expandWord(word, variables)
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > 80 ? `${line.slice(0, 77)}…` : line
}
