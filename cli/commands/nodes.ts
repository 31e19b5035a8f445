import { resolve } from 'node:path'
import type { Command } from 'commander'
import { nodeTypes } from '../../compute/node-types.ts'
import type { ComputeNode } from '../../compute/node.ts'
import type { Nodes } from '../../compute/nodes.ts'
import { escapeControls } from '../../results/terminal-text.ts'
import type { CommandContext } from '../context.ts'
import { exitCodes } from '../exit-codes.ts'
import { badOption, parseChoice, parsePairs } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'
import { repeatable } from './command-options.ts'
import { defineNodeKeys } from './node-keys.ts'

interface AddFlags {
  readonly type: string
  readonly host?: string
  readonly gpu?: string
  readonly port?: string
  readonly user?: string
  readonly key?: string
  readonly fingerprint?: string
  readonly acceptNew?: boolean
  readonly workspace?: string
  readonly providerArg: readonly string[]
  readonly probe: boolean
  readonly default?: boolean
}

/** Named places where sandboxes can be made. */
export function defineNodes(program: Command, host: CommandHost): void {
  const nodes = program
    .command('nodes')
    .description('Names places where sandboxes can be made, for `rollcall run --node`.')
    .addHelpText('after', examples)
  defineAdd(nodes, host)
  defineLooking(nodes, host)
  defineChanging(nodes, host)
  defineNodeKeys(nodes, host)
}

const examples = `
Examples:
  rollcall nodes keys generate lab && rollcall nodes keys list
  rollcall nodes add gpu-box --type ssh --host 10.0.0.7 --user me --key lab --fingerprint SHA256:…
  rollcall nodes probe gpu-box
  rollcall run TASKS --node gpu-box --agent oracle
  rollcall run TASKS --node 'gpus>=1,vram>=40' --agent oracle
`

function defineAdd(nodes: Command, host: CommandHost): void {
  nodes
    .command('add')
    .argument('<name>', '1 to 63 of a-z, 0-9 and -')
    .requiredOption('--type <type>', nodeTypes.join(', '))
    .option('--host <host>', 'ssh: name or address')
    .option('--port <port>', 'ssh: default 22')
    .option('--user <user>', 'ssh: default yours')
    .option('--key <key>', 'ssh: a key of `rollcall nodes keys`, or a private key file')
    .option('--fingerprint <sha256>', 'ssh: its host key, as ssh-keygen -l prints it')
    .option('--accept-new', 'ssh: believe a host that is not known yet, once')
    .option('--workspace <directory>', 'ssh: where sandboxes are made (default rollcall, in the home directory)')
    .option('--gpu <type>', 'modal: for tasks that name no type, like A100')
    .addOption(repeatable('--provider-arg <key=value>', 'another setting of its provider'))
    .option('--no-probe', 'add it without asking what it is')
    .option('--default', 'use it where a run names neither node nor provider')
    .description('Names a node, after asking it what it is.')
    .action(async (name: string, flags: AddFlags) => host.exitWith(await add(name, flags, host.context)))
}

async function add(name: string, flags: AddFlags, context: CommandContext): Promise<number> {
  const type = parseChoice('--type', flags.type, nodeTypes)
  const nodes = await openNodes(context)
  const settings = {
    ...(await sshSettings(flags, nodes)),
    ...gpuSetting(flags),
    ...parsePairs('--provider-arg', flags.providerArg),
  }
  const node = await nodes.add({ name, type, settings, probe: flags.probe })
  if (flags.default === true) await nodes.registry.setDefault(name)
  await show(node, false, context)
  return exitCodes.ok
}

async function sshSettings(flags: AddFlags, nodes: Nodes): Promise<Record<string, string>> {
  const { type, host, port, user, key, fingerprint, workspace, acceptNew } = flags
  const given = { host, port, user, key, fingerprint, workspace, 'accept-new': acceptNew === true ? 'true' : undefined }
  const settings = Object.fromEntries(Object.entries(given).flatMap(([name, value]) => (value ? [[name, value]] : [])))
  const [first] = Object.keys(settings)
  if (type !== 'ssh' && first !== undefined) throw badOption('--type', type, `ssh together with --${first}`)
  return key === undefined ? settings : { ...settings, key: await keyPath(key, nodes) }
}

function gpuSetting({ type, gpu }: AddFlags): Record<string, string> {
  if (gpu === undefined) return {}
  if (type !== 'modal') throw badOption('--type', type, 'modal together with --gpu')
  return { gpu }
}

/** A key that is kept here goes before a file of that name in this directory. */
async function keyPath(key: string, nodes: Nodes): Promise<string> {
  const kept = (await nodes.keys.list()).find(({ name }) => name === key)
  return kept?.path ?? resolve(key)
}

function defineLooking(nodes: Command, host: CommandHost): void {
  const { context } = host
  nodes
    .command('list')
    .option('--json', 'one JSON object per node')
    .description('All nodes, with what they had when they were last asked.')
    .action(async ({ json }: { json?: boolean }) => {
      const { registry } = await openNodes(context)
      const [all, preferred] = await Promise.all([registry.list(), registry.default()])
      if (json === true) return all.forEach((node) => context.stdout.write(`${JSON.stringify(node)}\n`))
      if (all.length === 0) return context.stderr.write('No node has been added: see rollcall nodes add --help\n')
      const { nodesTable } = await import('../node-view.ts')
      context.stdout.write(`${nodesTable(all, preferred?.name)}\n`)
    })
  nodes
    .command('show')
    .argument('<name>')
    .option('--json', 'as JSON')
    .description('What is known of a node.')
    .action(async (name: string, { json }: { json?: boolean }) => {
      await show(await (await openNodes(context)).registry.get(name), json === true, context)
    })
  nodes
    .command('probe')
    .argument('<name>')
    .option('--json', 'as JSON')
    .description('Asks a node what it is now. Exit code 1 when it does not answer.')
    .action(async (name: string, { json }: { json?: boolean }) => {
      const node = await (await openNodes(context)).probe(name)
      await show(node, json === true, context)
      if (node.problem !== undefined) host.exitWith(exitCodes.failed)
    })
}

async function show(node: ComputeNode, asJson: boolean, { stdout }: CommandContext): Promise<void> {
  const { nodeDetails } = await import('../node-view.ts')
  stdout.write(`${asJson ? JSON.stringify(node) : nodeDetails(node)}\n`)
}

function defineChanging(nodes: Command, host: CommandHost): void {
  const { context } = host
  nodes
    .command('default')
    .argument('[name]', 'without it: none')
    .description('The node of runs that name neither node nor provider.')
    .action(async (name: string | undefined) => {
      await (await openNodes(context)).registry.setDefault(name)
      context.stderr.write(
        name === undefined ? 'No node is the default.\n' : `${escapeControls(name)} is the default.\n`,
      )
    })
  nodes
    .command('remove')
    .argument('<name>')
    .description('Forgets a node. Nothing on it is touched; rollcall sweep removes what is left there.')
    .action(async (name: string) => {
      await (await openNodes(context)).remove(name)
      context.stderr.write(`${escapeControls(name)} is forgotten.\n`)
    })
}

async function openNodes({ environment }: CommandContext): Promise<Nodes> {
  const { Nodes: NodesOfUser } = await import('../../compute/nodes.ts')
  return new NodesOfUser(environment)
}
