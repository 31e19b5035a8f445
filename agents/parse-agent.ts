import { readFile } from 'node:fs/promises'
import { basename, extname, resolve } from 'node:path'
import { RollcallError } from '../protocol/failure.ts'
import { bundleKey } from '../store/keys.ts'
import { agentLabel } from './agent-label.ts'
import type { AgentSpec } from './agent.ts'
import { parseModelArguments } from './model-arguments.ts'
import { parseModelName } from './model-name.ts'
import { parseTurns } from './script-turns.ts'

/** An agent as a user names it. */
export interface AgentRequest {
  /** `oracle`, `nop`, `script`, `command`, `model`, or a file with an export: `./my-agent.ts#myAgent`. */
  readonly agent: string
  /** `--agent-arg name=value`; `file=path` and `name=@path` stand for a file's content. */
  readonly args?: Readonly<Record<string, string>>
  readonly model?: string
  /** Unique within the job. Default: derived from agent and model. */
  readonly label?: string
  /** What relative paths are relative to. */
  readonly directory: string
}

export interface ParsedAgent {
  readonly spec: AgentSpec
  /** Of an agent in TypeScript: to be put into the store by the client. */
  readonly bundle?: { readonly key: string; readonly bytes: Buffer }
}

type BuiltIn = Exclude<AgentSpec['kind'], 'module' | 'stored'>

const knownArguments: Readonly<Record<BuiltIn, readonly string[]>> = {
  oracle: [],
  nop: [],
  script: ['file'],
  command: ['command', 'install'],
  model: ['system', 'temperature', 'max-output-tokens', 'images'],
}

/**
 * Turns what a user asked for into an AgentSpec: reads the files that arguments name and bundles an agent in
 * TypeScript. Nothing is started and nothing stored.
 * @throws RollcallError `configuration-invalid`, `agent-invalid`: one sentence that names option and value
 */
export async function parseAgent(request: AgentRequest): Promise<ParsedAgent> {
  const args = await readFileArguments(request.args ?? {}, request.directory)
  const kind = builtInKind(request.agent)
  if (kind === undefined) return parseModule(request, args)
  checkArguments(kind, args, request.model)
  const label = agentLabel(request.label ?? (request.model === undefined ? kind : `${kind}-${request.model}`))
  return { spec: { kind, label, args, ...(request.model === undefined ? {} : { model: request.model }) } }
}

function builtInKind(agent: string): BuiltIn | undefined {
  if (Object.hasOwn(knownArguments, agent)) return agent as BuiltIn
  if (agent.includes('/') || /\.[cm]?[jt]s(#|$)/.test(agent)) return undefined
  throw new RollcallError(
    'configuration-invalid',
    `--agent is ${JSON.stringify(agent)}: expected ${Object.keys(knownArguments).join(', ')}, or a file as ./my-agent.ts#myAgent`,
  )
}

function checkArguments(kind: BuiltIn, args: Readonly<Record<string, string>>, model: string | undefined): void {
  const known = knownArguments[kind]
  const unknown = Object.keys(args).filter((name) => !known.includes(name))
  const takes = known.length === 0 ? 'no arguments' : known.join(', ')
  if (unknown.length > 0) throw wrong(`--agent-arg is ${unknown.join(', ')}: agent ${kind} takes ${takes}`)
  if (kind !== 'model' && model !== undefined) throw wrong(`--model is ${model}: agent ${kind} uses no model`)
  if (kind === 'model' && model === undefined)
    throw wrong('--model is missing: agent model needs one, as openai/<model>')
  if (kind === 'command' && !args['command']?.trim()) {
    throw wrong('--agent-arg command is missing: agent command needs the program to run, as command="my-agent --go"')
  }
  if (model !== undefined) parseModelName(model)
  if (kind === 'model') parseModelArguments(args)
  if (args['file'] !== undefined) parseTurns(args['file'], '--agent-arg file')
}

async function parseModule(request: AgentRequest, args: Readonly<Record<string, string>>): Promise<ParsedAgent> {
  const [file = '', wanted] = request.agent.split('#')
  if (request.model !== undefined) {
    throw wrong(`--model is ${request.model}: an agent in TypeScript gets it as --agent-arg model=${request.model}`)
  }
  const { bundleModule } = await import('./bundle-module.ts')
  const bundle = await bundleModule(resolve(request.directory, file))
  const exportName = exportOf(request.agent, bundle.exports, wanted)
  const key = bundleKey(bundle.hash)
  const label = agentLabel(request.label ?? (exportName === 'agent' ? basename(file, extname(file)) : exportName))
  return {
    spec: { kind: 'module', label, args, module: { key, exportName, source: file } },
    bundle: { key, bytes: bundle.bytes },
  }
}

/** The export that is named, or the only one. */
function exportOf(agent: string, exports: readonly string[], wanted: string | undefined): string {
  const only = exports.length === 1 ? exports[0] : undefined
  const found = wanted === undefined ? only : exports.find((name) => name === wanted)
  if (found !== undefined) return found
  const has = exports.length === 0 ? 'exports nothing' : `exports ${exports.join(', ')}`
  throw new RollcallError(
    'agent-invalid',
    `--agent is ${JSON.stringify(agent)}: expected <file>#<export>; the file ${has}`,
  )
}

async function readFileArguments(
  args: Readonly<Record<string, string>>,
  directory: string,
): Promise<Record<string, string>> {
  const read = Object.entries(args).map(async ([name, value]) => {
    const path = name === 'file' ? value : /^@([^@].*)$/s.exec(value)?.[1]
    if (path === undefined) return [name, value.startsWith('@@') ? value.slice(1) : value] as const
    return [name, await readArgument(name, resolve(directory, path))] as const
  })
  return Object.fromEntries(await Promise.all(read))
}

async function readArgument(name: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw wrong(`--agent-arg ${name} is ${path}: expected a readable file (${reason})`)
  }
}

function wrong(message: string): RollcallError {
  return new RollcallError('configuration-invalid', message)
}
