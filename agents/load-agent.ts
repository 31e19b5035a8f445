import { RollcallError } from '../protocol/failure.ts'
import type { Agent, AgentSpec } from './agent.ts'
import { createCommandAgent } from './command.ts'
import type { JudgeModel } from './judge-model.ts'
import { createNopAgent } from './nop.ts'
import { createOracleAgent } from './oracle.ts'
import { createStoredAgent } from './stored.ts'
import { createScriptAgent } from './script.ts'

export interface AgentSources {
  /** The worker's environment: keys and base URLs of models. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Reads a bundle out of the store. */
  readonly readBundle: (key: string) => Promise<Buffer>
  readonly cacheDirectory: string
  /** For requests to models. Default: the global one. */
  readonly fetch?: typeof fetch
}

/**
 * The agent that a job's options name, ready to be asked. Loading it proves that it can be used here, so planning does
 * it before anything starts; loading it twice is harmless.
 * @throws RollcallError `agent-invalid`, `configuration-invalid`, `secret-missing`
 */
export async function loadAgent(spec: AgentSpec, sources: AgentSources): Promise<Agent> {
  const { args } = spec
  switch (spec.kind) {
    case 'oracle':
      return createOracleAgent()
    case 'nop':
      return createNopAgent()
    case 'script':
      return createScriptAgent(args['file'] === undefined ? {} : { file: args['file'] })
    case 'command':
      return createCommandAgent({
        command: required(spec, 'command', args['command']),
        ...(args['install'] === undefined ? {} : { install: args['install'] }),
      })
    case 'model':
      return loadModelAgent(spec, sources)
    case 'stored':
      return createStoredAgent(required(spec, 'job', args['job']))
    case 'module': {
      const { loadModuleAgent } = await import('./module.ts')
      return loadModuleAgent(required(spec, 'module', spec.module), args, sources)
    }
  }
}

/** The AI SDK takes 150 ms to load, which only those pay who use it. */
async function loadModelAgent(spec: AgentSpec, sources: AgentSources): Promise<Agent> {
  const { createModelAgent } = await import('./model.ts')
  const { connectModel } = await import('./model-connection.ts')
  const name = required(spec, 'model', spec.model)
  return createModelAgent(connectModel(name, sources), { name, args: spec.args })
}

/**
 * A model that grades, by name. Sends nothing.
 * @throws RollcallError `configuration-invalid`, `secret-missing`
 */
export async function loadJudge(name: string, sources: Pick<AgentSources, 'env' | 'fetch'>): Promise<JudgeModel> {
  const { createJudgeModel } = await import('./judge-model.ts')
  const { connectModel } = await import('./model-connection.ts')
  return createJudgeModel(connectModel(name, sources), name)
}

function required<T>(spec: AgentSpec, field: string, value: T | undefined): T {
  if (value !== undefined) return value
  throw new RollcallError('agent-invalid', `Agent ${spec.label} of kind ${spec.kind} is missing ${field}`)
}
