import type { ExecId, ExecResult } from '../../protocol/exec.ts'
import type { ExecRequest, Runner } from '../../runner/runner.ts'
import type { Capabilities, CreateRequest, Ownership, Provider, Sandbox } from '../contract/provider.ts'
import type { SandboxSpec } from '../contract/runtime.ts'

/** A sandbox with an attachment to its runner. */
export interface OpenSandbox {
  readonly request: CreateRequest
  readonly sandbox: Sandbox
  readonly runner: Runner
  /** An exec id that this sandbox has not seen. */
  readonly nextId: () => ExecId
  /** Runs a script under a fresh id; no timeout given means 30 s. */
  readonly run: (script: string, options?: Partial<ExecRequest>) => Promise<ExecResult>
  /** Another worker's attachment to the same sandbox. */
  readonly attach: () => Runner
  /** Cuts every connection of `runner` to the sandbox, as a failing network does. */
  readonly cut: () => void
}

/** What a case may use. Everything opened through it is destroyed after the case. */
export interface ConformanceContext {
  readonly provider: Provider
  /** A complete order: the harness's base, with what the case needs. */
  readonly makeSpec: (overrides?: Partial<SandboxSpec>) => SandboxSpec
  readonly makeOwnership: (spec: SandboxSpec, overrides?: Partial<Ownership>) => Ownership
  /** A sandbox name that nobody has used; what is created under it is destroyed after the case. */
  readonly uniqueName: () => string
  /** An order that has not been given to the provider yet, under a name of its own. */
  readonly makeRequest: (overrides?: Partial<SandboxSpec>) => CreateRequest
  /** A sandbox of the case's own. */
  readonly open: (overrides?: Partial<SandboxSpec>) => Promise<OpenSandbox>
  /** Gives an order to the provider and attaches to what it creates or adopts. */
  readonly openRequest: (request: CreateRequest) => Promise<OpenSandbox>
  /** The sandbox that all cases share which neither end it nor leave anything in the way of others. */
  readonly shared: () => Promise<OpenSandbox>
}

/** One thing that every provider must do in the same way. */
export interface ConformanceCase {
  /** A sentence about behaviour; known deviations are listed by it. */
  readonly name: string
  /** Without it the case is not run; instead the provider must refuse such an order by name. */
  readonly needs?: CapabilityNeed
  /** Throws when the provider does not conform. */
  readonly run: (context: ConformanceContext) => Promise<void>
}

/** Something that a provider may lack, if it says so. */
export interface CapabilityNeed {
  readonly isMet: (capabilities: Capabilities) => boolean
  /** An order that a provider without the capability cannot honour … */
  readonly order: Partial<SandboxSpec>
  /** … and what the field is called that its `check` must name. */
  readonly field: string
}
