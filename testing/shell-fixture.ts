import process from 'node:process'
import { createProviders } from '../workers/providers.ts'

/** A person before a shell, as a process of its own: `shell-fixture.ts {"provider","stateDirectory","name","command"}`. */
const { provider, stateDirectory, name, command } = JSON.parse(process.argv[2] ?? '') as Record<string, string>
const { stdin, stdout, stderr } = process
const providers = createProviders({ env: process.env, stateDirectory: stateDirectory ?? '' })
const isTerminal = stdin.isTTY && stdout.isTTY
const user = { stdin, stdout, stderr, isTerminal, terminalType: 'xterm', ...(command === undefined ? {} : { command }) }
process.exitCode = await (await providers.provider(provider ?? '', {})).shell?.(name ?? '', user)
