import { Option } from 'commander'
import type { Command } from 'commander'

/** Options that several commands share. */

/** An option that may be given several times. */
export function repeatable(flags: string, description: string): Option {
  const collect = (value: string, earlier: readonly string[]): string[] => [...earlier, value]
  return new Option(flags, `${description} (repeatable)`).argParser(collect).default([], 'none')
}

export function addProviderOptions(command: Command): Command {
  return command
    .option('--provider <name>', 'where sandboxes are made: docker, local, ssh or modal', 'docker')
    .addOption(repeatable('--provider-arg <key=value>', 'a setting of the provider'))
    .option('--local-network', 'local only: sandboxes of tasks that ask for it share the network of this host')
    .option(
      '--unsafe-local',
      'local only: consent to run without bubblewrap, in namespaces that do not keep a process in',
    )
}

/** Names of flags as they stand in the options of an action. */
export interface ProviderFlags {
  readonly provider: string
  readonly providerArg: readonly string[]
  readonly localNetwork?: boolean
  readonly unsafeLocal?: boolean
}
