import { expiryMarginMs } from '../protocol/sandbox-life.ts'
import type { FoundSandbox, Provider } from '../providers/contract/provider.ts'
import { findJobOptions } from '../results/read-job.ts'
import { escapeControls } from '../results/terminal-text.ts'
import type { Store } from '../store/store.ts'
import type { CommandContext } from './context.ts'

/** More are a page; `rollcall sweep --dry-run` lists all. */
const mostShown = 10

/** Prints `keptSandboxLines`: a note, not a result. */
export async function printKeptSandboxes(at: { store: Store; job: string }, context: CommandContext): Promise<void> {
  for (const line of await keptSandboxLines(at, context.environment)) context.stderr.write(`${escapeControls(line)}\n`)
}

/**
 * What a job has kept at this host for a look inside, each with the ways in and out: the end of `run`, `watch` and
 * `results`. Looked up where sandboxes are, so that nothing is promised that is gone.
 * @returns no lines where the job keeps nothing
 */
async function keptSandboxLines(
  { store, job }: { store: Store; job: string },
  environment: CommandContext['environment'],
): Promise<string[]> {
  const { keep = 'never', provider: wanted } = (await findJobOptions(store, job)) ?? {}
  if (keep === 'never' || wanted === undefined) return []
  const { createProviders } = await import('../workers/providers.ts')
  const providers = createProviders(environment)
  try {
    const provider = await providers.provider(wanted.name, wanted.options)
    return linesOf(job, await keptBy(job, provider))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return [`Sandboxes were kept (--keep ${keep}), but not looked up from here: ${reason}`]
  } finally {
    await providers.close()
  }
}

async function keptBy(job: string, provider: Provider): Promise<FoundSandbox[]> {
  const found = await provider.list({ job })
  return found.toSorted((a, b) => a.ownership.workflow.localeCompare(b.ownership.workflow))
}

function linesOf(job: string, kept: readonly FoundSandbox[]): string[] {
  if (kept.length === 0) return []
  const more = kept.length > mostShown ? [`  and ${kept.length - mostShown} more: rollcall sweep --dry-run`] : []
  return [
    'Kept for a look inside:',
    ...kept.slice(0, mostShown).map(keptLine),
    ...more,
    `  remove: rollcall sweep --kept ${job}`,
  ]
}

function keptLine({ ownership, state, reason }: FoundSandbox): string {
  const until = new Date(ownership.expires - expiryMarginMs).toISOString()
  const expires = new Date(ownership.expires).toISOString()
  return state === 'running'
    ? `  rollcall shell ${ownership.workflow}   until ${until}`
    : `  ${ownership.workflow}   dead (${reason ?? 'unknown'}), removed by the sweep after ${expires}`
}
