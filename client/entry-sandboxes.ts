import { DirectSandboxes, type SandboxesOptions } from './sandboxes/sandboxes.ts'

/**
 * `Sandboxes` as the package exports it: with every provider of this package. The one place of client/ that names them,
 * since direct use reaches sandboxes itself; everything below is handed what it needs.
 */
export class Sandboxes extends DirectSandboxes {
  /**
   * Connects (on the embedded server, where no other is set), starts or attaches to the pools of `options.start`, and
   * returns when they run. Twice, or after this process was killed, the same pools are used.
   * @throws RollcallError `configuration-invalid`: every problem of every profile, before anything starts
   */
  static async start(options: SandboxesOptions): Promise<Sandboxes> {
    return await super.open(options, async (environment) => {
      const { createProviders } = await import('../workers/providers.ts')
      return createProviders(environment)
    })
  }
}
