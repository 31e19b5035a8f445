import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { StoredKey } from '../../compute/ssh-keys.ts'
import type { CommandContext } from '../context.ts'
import { badOption, parseChoice } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'

interface PassphraseFlags {
  readonly passphraseEnv?: string
}

/** SSH keys that Rollcall keeps for nodes. */
export function defineNodeKeys(nodes: Command, host: CommandHost): void {
  const { context } = host
  const keys = nodes.command('keys').description('SSH keys for nodes, kept in the state directory, 0600.')
  keys
    .command('generate')
    .argument('<name>')
    .option('--type <type>', 'ed25519 or rsa (4096 bits)', 'ed25519')
    .option('--passphrase-env <name>', 'environment variable with a passphrase to encrypt it with')
    .description('Makes a key pair, and prints the line for the node’s authorized_keys.')
    .action(async (name: string, flags: PassphraseFlags & { type: string }) => {
      const type = parseChoice('--type', flags.type, ['ed25519', 'rsa'])
      const kept = await (await openKeys(context)).generate({ name, type, ...passphraseOf(flags, context) })
      tell(kept, context)
    })
  keys
    .command('import')
    .argument('<name>')
    .argument('<file>', 'a private key in OpenSSH’s or PEM form')
    .option('--passphrase-env <name>', 'environment variable with its passphrase')
    .description('Keeps a copy of a private key.')
    .action(async (name: string, file: string, flags: PassphraseFlags) => {
      const { passphrase } = passphraseOf(flags, context)
      tell(await (await openKeys(context)).import(name, resolve(file), passphrase), context)
    })
  keys
    .command('list')
    .description('All keys, with their fingerprints and the nodes that use them.')
    .action(async () => {
      const { Nodes } = await import('../../compute/nodes.ts')
      const all = new Nodes(context.environment)
      const [kept, nodeList] = await Promise.all([all.keys.list(), all.registry.list()])
      if (kept.length === 0)
        return context.stderr.write('No key is kept here: see rollcall nodes keys generate --help\n')
      const { keysTable } = await import('../node-view.ts')
      context.stdout.write(`${keysTable(kept, nodeList)}\n`)
    })
  keys
    .command('remove')
    .argument('<name>')
    .description('Removes a key that no node uses.')
    .action(async (name: string) => {
      const { Nodes } = await import('../../compute/nodes.ts')
      await new Nodes(context.environment).removeKey(name)
      context.stderr.write(`${name} is removed.\n`)
    })
}

function tell({ name, fingerprint, publicKey }: StoredKey, { stdout, stderr }: CommandContext): void {
  stderr.write(`${name}: ${fingerprint}\n`)
  stdout.write(`${publicKey}\n`)
}

/** Never an argument: the process list shows those to everybody. */
function passphraseOf({ passphraseEnv }: PassphraseFlags, context: CommandContext): { passphrase?: string } {
  if (passphraseEnv === undefined) return {}
  const passphrase = context.environment.env[passphraseEnv]
  if (passphrase !== undefined && passphrase !== '') return { passphrase }
  throw badOption('--passphrase-env', passphraseEnv, 'the name of an environment variable that is set')
}

async function openKeys({ environment }: CommandContext) {
  const { SshKeys } = await import('../../compute/ssh-keys.ts')
  return new SshKeys(environment.stateDirectory)
}
