import type { ResetSlotsInput } from '../protocol/activities.ts'
import { slotScope, slotUser } from '../protocol/names.ts'
import type { Runner } from '../runner/runner.ts'
import { assertDone } from './assert-done.ts'
import { poolSandboxName, poolScope, providerOf } from './pool-sandboxes.ts'
import type { PoolDependencies } from './pool-sandboxes.ts'
import { emptySlotsScript, leaveSharedScript } from './slot-scripts.ts'

const timeoutMs = 60_000

/**
 * Makes slots as they were: everything that ran in them is dead, their files are gone, and the runner refuses what is still
 * sent under an earlier lease. Safe to run twice, also late, when somebody has the slot: a reset is one set of exec ids,
 * of which each runs once, and what it does by request concerns only phases of earlier leases.
 * @throws RollcallError `sandbox-lost` when a slot is not certain to be clean
 */
export async function resetSlots(
  input: ResetSlotsInput,
  { services, attachments, signal }: PoolDependencies & { signal: AbortSignal },
): Promise<void> {
  const { profile, place, sandboxNumber } = input
  const provider = await providerOf(profile, services)
  const sandbox = poolSandboxName(input, services)
  const lease = { provider: provider.name, place, sandbox, incarnation: sandboxNumber, spec: '' }
  await attachments.use({ provider, lease }, (runner) => resetIn(runner, { input, signal }))
}

async function resetIn(runner: Runner, at: { input: ResetSlotsInput; signal: AbortSignal }): Promise<void> {
  const { slots, reset } = at.input
  runner.acknowledge({ scope: poolScope, phase: 0, batch: reset })
  for (const { slot, phase } of slots) runner.acknowledge({ scope: slotScope(slot), phase: phase + 1, batch: 0 })
  await Promise.all(slots.map(({ slot, phase }) => runner.stop({ scope: slotScope(slot), beforePhase: phase + 1 })))
  await Promise.all(slots.map(({ slot }) => leaveShared(runner, slot, at)))
  const script = emptySlotsScript(
    at.input.profile.workspaceBase,
    slots.map(({ slot }) => slot),
  )
  await run(runner, { ...at, call: 64, script, user: 'root' })
}

async function leaveShared(
  runner: Runner,
  slot: number,
  at: { input: ResetSlotsInput; signal: AbortSignal },
): Promise<void> {
  await run(runner, { ...at, call: slot, script: leaveSharedScript(slot), user: slotUser(slot).name })
}

async function run(
  runner: Runner,
  at: { input: ResetSlotsInput; signal: AbortSignal; call: number; script: string; user: string },
): Promise<void> {
  const { input, signal, call, script, user } = at
  const id = { scope: poolScope, phase: 0, batch: input.reset, call, part: 0 }
  const result = await runner.exec({ id, script, user, cwd: '/', timeoutMs }, { signal })
  assertDone(result, 'resetting a slot', 'sandbox-lost')
}
