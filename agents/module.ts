import { z } from 'zod'
import { RollcallError } from '../protocol/failure.ts'
import type { Agent, AgentInput, AgentSpec, Decision } from './agent.ts'
import { parseDecision } from './decision.ts'
import { importBundle } from './import-bundle.ts'

type ModuleReference = NonNullable<AgentSpec['module']>

const agentShape = z.looseObject({ name: z.string(), next: z.custom((value) => typeof value === 'function') })

/**
 * An agent in TypeScript, from the bundle that the client put into the store. The export is an Agent, or a function
 * that makes one of the agent's arguments.
 * @throws RollcallError `agent-invalid` when the bundle, the export or what it makes is not that
 */
export async function loadModuleAgent(
  module: ModuleReference,
  args: Readonly<Record<string, string>>,
  from: { readBundle: (key: string) => Promise<Buffer>; cacheDirectory: string },
): Promise<Agent> {
  const bytes = await from.readBundle(module.key)
  const exports = await importBundle({ key: module.key, bytes }, from.cacheDirectory).catch((error: unknown) => {
    throw invalid(module, `expected it to load, but ${reasonOf(error)}`, error)
  })
  const exported = exports[module.exportName]
  const made: unknown = typeof exported === 'function' ? await makeAgent(module, exported, args) : exported
  const shaped = agentShape.safeParse(made)
  if (!shaped.success) {
    throw invalid(module, 'expected an Agent with a name and next(), or a function that returns one')
  }
  return guardedAgent(made as Agent, module)
}

async function makeAgent(
  module: ModuleReference,
  factory: Function,
  args: Readonly<Record<string, string>>,
): Promise<unknown> {
  try {
    return (await factory(args)) as unknown
  } catch (error) {
    if (error instanceof RollcallError) throw error
    throw invalid(module, `expected it to make an agent of its arguments, but it throws: ${reasonOf(error)}`, error)
  }
}

/** The agent, held to its contract: answers are checked, foreign errors get a code, and an abort is always heard. */
function guardedAgent(agent: Agent, module: ModuleReference): Agent {
  const { name, version, layerScript } = agent
  return {
    name,
    ...(version === undefined ? {} : { version }),
    ...(layerScript === undefined ? {} : { layerScript }),
    ...(agent.check ? { check: agent.check.bind(agent) } : {}),
    ...(agent.uploads ? { uploads: agent.uploads.bind(agent) } : {}),
    next: (input) => checkedNext(agent, module, input),
  }
}

async function checkedNext(agent: Agent, module: ModuleReference, input: AgentInput): Promise<Decision> {
  const answer = await Promise.race([askAgent(agent, module, input), aborted(input.signal)])
  const parsed = parseDecision(answer)
  if ('decision' in parsed) return parsed.decision
  throw invalid(module, `expected next() to answer calls or done, but its answer is wrong: ${parsed.problem}`)
}

async function askAgent(agent: Agent, module: ModuleReference, input: AgentInput): Promise<unknown> {
  try {
    return await agent.next(input)
  } catch (error) {
    if (input.signal.aborted) throw input.signal.reason
    if (hasFailureCode(error)) throw ownError(error)
    throw new RollcallError('agent-failed', `Agent ${nameOf(module)} threw: ${reasonOf(error)}`, { cause: error })
  }
}

/** A bundle has its own copy of RollcallError, so `instanceof` cannot know it. */
function hasFailureCode(error: unknown): error is RollcallError {
  const allowed = ['model-unavailable', 'model-rejected', 'agent-failed']
  return (
    error instanceof Error && error.name === 'RollcallError' && 'code' in error && allowed.includes(String(error.code))
  )
}

function ownError(error: RollcallError): RollcallError {
  const { code, message, retryAfterMs } = error
  return new RollcallError(code, message, { cause: error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) })
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

function invalid(module: ModuleReference, expected: string, cause?: unknown): RollcallError {
  return new RollcallError('agent-invalid', `Agent ${nameOf(module)} is not usable: ${expected}`, { cause })
}

function nameOf(module: ModuleReference): string {
  return `${module.source}#${module.exportName}`
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
