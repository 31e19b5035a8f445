import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'
import { describeAsked } from '../client/host-consent.ts'
import type { AskedVariable, RunOptions } from '../client/index.ts'

/** Where somebody is asked, and told why; what a command has of its process is one. */
export interface Asker {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stderr: { readonly isTTY: boolean; readonly stream: Writable; write(text: string): void }
}

/**
 * Lists the variables of the host that nobody has allowed yet, and asks whoever sits at a terminal. Elsewhere nobody is
 * asked, and starting the run refuses them.
 * @returns what is allowed now
 */
export async function askForConsent(
  asked: readonly AskedVariable[],
  allowed: RunOptions['allowEnv'],
  { stdin, stderr }: Asker,
): Promise<RunOptions['allowEnv']> {
  const open = allowed === 'all' ? [] : asked.filter(({ name }) => !allowed?.includes(name))
  if (open.length === 0 || !stderr.isTTY || !stdin.isTTY) return allowed
  stderr.write(`Sandboxes would see these variables of this host:\n${describeAsked(open).join('\n')}\n`)
  const terminal = createInterface({ input: stdin, output: stderr.stream })
  try {
    const answer = await terminal.question('Allow them? [y/N] ')
    return /^y(es)?$/i.test(answer.trim()) ? 'all' : allowed
  } finally {
    terminal.close()
  }
}
