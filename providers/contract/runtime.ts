/** What a task asks of its sandbox (design §7). Absent means: the provider's own default. */
export interface Resources {
  readonly cpus?: number
  readonly memoryMiB?: number
  readonly storageMiB?: number
  readonly pids?: number
  readonly gpus?: { readonly count: number; readonly types?: readonly string[] }
}

export interface Limits {
  /** How long to wait for a busy provider. Default 10 min. */
  readonly acquireTimeoutMs: number
  /** Image build, create and readiness together. Default 10 min. */
  readonly startTimeoutMs: number
  /** For a command that names no timeout of its own. Default 10 min. */
  readonly execTimeoutMs: number
  /** Sandbox is ended when no command has run for so long, where the provider can (`endsIdle`). */
  readonly idleTimeoutMs?: number
  /** Sandbox dies by itself after this long; enforced inside or by the provider. Default 24 h. */
  readonly lifetimeMs: number
}

export interface Mount {
  /** Absolute path on the host where the sandbox is made. */
  readonly source: string
  /** Absolute path inside. */
  readonly target: string
  readonly readOnly: boolean
}

/** `allowlist` names hosts; providers that cannot filter refuse it by name. */
export type Network = { mode: 'public' } | { mode: 'none' } | { mode: 'allowlist'; hosts: readonly string[] }

export type ImageSource =
  /** A name the provider resolves, after `imageMap`. */
  | { readonly type: 'name'; readonly name: string }
  /**
   * A build context. `contentHash` covers every file of it; `directory` is where this worker has it and is no part of
   * the sandbox's identity.
   */
  | { readonly type: 'dockerfile'; readonly directory: string; readonly contentHash: string }
  /** The provider's default. */
  | { readonly type: 'default' }

/**
 * A complete, resolved order for one sandbox. `specHash` in `spec-hash.ts` says which fields are its identity.
 */
export interface SandboxSpec {
  readonly image: ImageSource
  /** Image names to replace, also in FROM lines: mirrors, air-gapped sites. */
  readonly imageMap: Readonly<Record<string, string>>
  /**
   * A script that prepares the image for the agent, run once as root. Providers with `imageLayers` keep its result as
   * an image layer; for the others the open activity runs it in each sandbox.
   */
  readonly layerScript?: string
  readonly resources: Resources
  readonly limits: Limits
  readonly network: Network
  /** True when the task or the job names the network itself; Harbor’s unstated default counts as not asking. */
  readonly networkAsked: boolean
  readonly env: Readonly<Record<string, string>>
  /** Names only; the provider's adapter gets the values from its `secrets` argument. Those of `hostEnv` are among them. */
  readonly secrets: readonly string[]
  /** Variables with values of the host, as the task writes them: `${VAR}`. */
  readonly hostEnv?: Readonly<Record<string, string>>
  readonly mounts: readonly Mount[]
  /** User for commands; default: the image's. */
  readonly user?: string
  /** Working directory for commands; default: the image's. */
  readonly workdir?: string
}
