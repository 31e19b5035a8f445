import type { Command } from 'commander'
import type { CommandContext } from '../context.ts'
import { examinedProviders, formatFindings, isUsable } from '../doctor/findings.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseChoice } from '../parse-values.ts'
import type { CommandHost } from '../run-cli.ts'

export function defineDoctor(program: Command, host: CommandHost): void {
  program
    .command('doctor')
    .option(
      '--provider <name>',
      `exit with 1 unless this provider can be used (default: any): ${examinedProviders.join(', ')}`,
    )
    .option('--json', 'one JSON object per finding')
    .description('Says what is here, what is missing and what to do about it. Starts and changes nothing.')
    .addHelpText('after', '\nExamples:\n  rollcall doctor\n  rollcall doctor --provider docker\n')
    .action(async (flags: { provider?: string; json?: boolean }) => host.exitWith(await doctor(flags, host.context)))
}

async function doctor(flags: { provider?: string; json?: boolean }, context: CommandContext): Promise<number> {
  const { provider } = flags
  const wanted = provider === undefined ? undefined : parseChoice('--provider', provider, examinedProviders)
  const { examine } = await import('../doctor/examine.ts')
  const findings = await examine(context.environment)
  const { stdout } = context
  if (flags.json) for (const finding of findings) stdout.write(`${JSON.stringify(finding)}\n`)
  else stdout.write(`${formatFindings(findings, { color: stdout.color })}\n`)
  return isUsable(findings, wanted) ? exitCodes.ok : exitCodes.failed
}
