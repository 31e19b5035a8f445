import type { AgentOption } from '../client/index.ts'
import { badOption, parsePairs } from './parse-values.ts'

/** What the command line says about one agent: `--agent` and the options that follow it. */
interface AgentArguments {
  agent: string | undefined
  model: string | undefined
  label: string | undefined
  readonly args: string[]
}

/**
 * Collects agents in the order of the command line: `--model`, `--agent-arg` and `--agent-label` belong to the
 * `--agent` before them, or to the first one when they come earlier.
 */
export class AgentCollector {
  readonly #agents: AgentArguments[] = []

  addAgent(agent: string): void {
    const first = this.#agents[0]
    if (first && first.agent === undefined) first.agent = agent
    else this.#agents.push({ agent, model: undefined, label: undefined, args: [] })
  }

  setModel(model: string): void {
    this.#latest.model = this.#once('--model', this.#latest.model, model)
  }

  setLabel(label: string): void {
    this.#latest.label = this.#once('--agent-label', this.#latest.label, label)
  }

  addArgument(argument: string): void {
    this.#latest.args.push(argument)
  }

  /** The agents for `Taskset.run`; undefined where none is named, `model` where only a model is. */
  options(): Exclude<AgentOption, { spec: unknown }>[] | undefined {
    if (this.#agents.length === 0) return undefined
    return this.#agents.map(({ agent, model, label, args }) => ({
      agent: agent ?? (model === undefined ? 'oracle' : 'model'),
      ...(args.length === 0 ? {} : { args: parsePairs('--agent-arg', args) }),
      ...(model === undefined ? {} : { model }),
      ...(label === undefined ? {} : { label }),
    }))
  }

  get #latest(): AgentArguments {
    const latest = this.#agents.at(-1) ?? { agent: undefined, model: undefined, label: undefined, args: [] }
    if (this.#agents.length === 0) this.#agents.push(latest)
    return latest
  }

  #once(option: string, present: string | undefined, value: string): string {
    if (present === undefined) return value
    throw badOption(option, value, `one per --agent: the agent before it already has ${JSON.stringify(present)}`)
  }
}
