import { answerKey, rolloutPrefix, turnResultKey } from '../store/keys.ts'
import type { StoredAnswer, StoredOpening } from '../store/records.ts'
import { getJson } from '../store/stored-json.ts'
import type { Store } from '../store/store.ts'
import { gradingCalls } from '../protocol/exec.ts'
import type { PendingStep } from './pending-step.ts'

/** Agents work in it: phase 0 opens, those after it grade. */
const turnsPhase = 1
/** What stands between two steps is a workflow task: it takes milliseconds where a worker is there. */
const between = 'its workflow decides what comes next'
const commandShown = 100

interface Said {
  readonly doing: string
  readonly since?: Date
  readonly turn?: number
}

interface Told {
  readonly store: Store
  readonly job: string
  readonly rollout: string
  readonly opening: StoredOpening | undefined
}

/** What a step does, in words: out of what it says of itself and what it has stored. */
export async function sayStep(step: PendingStep | undefined, told: Told): Promise<Said> {
  if (step === undefined) return { doing: between }
  if (step.state === 'paused') return { doing: `${step.activity} is paused in Temporal` }
  const said = await sayWork(step, told)
  if (step.state === 'cancelling') return { ...said, doing: `it was asked to cancel, while: ${said.doing}` }
  if (step.state === 'started') return said
  const turn = said.turn === undefined ? {} : { turn: said.turn }
  if (step.failure === undefined && step.attempt === 1) {
    return { ...turn, doing: `a worker is to take ${names[step.activity] ?? step.activity}` }
  }
  return { ...turn, doing: sayRetry(step), ...(step.scheduledAt && { since: step.scheduledAt }) }
}

const names: Readonly<Record<string, string>> = {
  placeRollout: 'the choice of its host',
  openRollout: 'the opening of its sandbox',
  runTurns: 'its next turn',
  gradeRollout: 'its grading',
  recordRollout: 'the record of its result',
  releaseSandbox: 'the removal of its sandbox',
}

/** A busy provider is waited for; everything else has failed. */
function sayRetry({ activity, failure }: PendingStep): string {
  const what = names[activity] ?? activity
  if (failure?.code === 'provider-busy') return `it waits for room at the provider: ${what} is tried again`
  return `${what} has failed and is tried again`
}

async function sayWork(step: PendingStep, told: Told): Promise<Said> {
  const since = step.startedAt ?? step.scheduledAt
  const at = since === undefined ? {} : { since }
  switch (step.activity) {
    case 'placeRollout':
      return { ...at, doing: 'it waits for a host with room' }
    case 'openRollout':
      return { ...at, doing: `its sandbox is made${step.note?.line === undefined ? '' : `: ${step.note.line}`}` }
    case 'runTurns':
      return await sayTurn(step, told)
    case 'gradeRollout':
      return sayGrading(step)
    case 'recordRollout':
      return { ...at, doing: 'its result and trace are stored' }
    case 'releaseSandbox':
      return { ...at, doing: 'its sandbox is removed' }
    default:
      return { ...at, doing: `${step.activity} runs` }
  }
}

async function sayTurn(step: PendingStep, told: Told): Promise<Said> {
  const { store, job, rollout, opening } = told
  const incarnation = opening?.opened.lease.incarnation ?? 1
  const answers = await answersOf(told, incarnation)
  const turn = Math.max(0, answers - 1)
  const at = { job, rollout, incarnation, phase: turnsPhase, turn }
  const [answer, result] = await Promise.all([
    getJson<StoredAnswer>(store, answerKey(at)),
    store.get(turnResultKey(at)),
  ])
  const since = step.startedAt ?? step.scheduledAt
  if (answer === undefined || result !== undefined) {
    const whom = step.note?.modelWait === undefined ? 'the agent’s answer' : 'the model’s service, which is asked again'
    return { doing: `it waits for ${whom}`, turn: answers, ...(since && { since }) }
  }
  const running = step.note?.execs.filter(({ name }) => name.startsWith(`${turnsPhase}-${turn}-`)) ?? []
  const calls = 'calls' in answer.decision ? answer.decision.calls : []
  const [first] = running
  if (first === undefined) return { doing: `it begins the calls of its turn`, turn, ...(since && { since }) }
  const commands = running.map(({ name }) => sayCall(calls[Number(name.split('-')[2])]))
  return { doing: `it runs ${commands.join(' and ')}`, turn, since: new Date(first.sinceMs) }
}

/** How many turns of this life the agent has answered. */
async function answersOf({ store, job, rollout }: Told, incarnation: number): Promise<number> {
  const turns = `${rolloutPrefix(job, rollout)}i${incarnation}/p${turnsPhase}/turns/`
  return (await store.list(turns)).filter((key) => key.endsWith('.answer.json')).length
}

function sayCall(call: { tool: string; args: Readonly<Record<string, unknown>> } | undefined): string {
  if (call === undefined) return 'a command'
  const text = call.args['command'] ?? call.args['path']
  if (typeof text !== 'string') return call.tool
  return `${call.tool} ${JSON.stringify(text.length > commandShown ? `${text.slice(0, commandShown)}…` : text)}`
}

function sayGrading({ note, startedAt, scheduledAt }: PendingStep): Said {
  const tests = note?.execs.find(({ name }) => name.split('-')[2] === String(gradingCalls.tests))
  if (tests !== undefined) return { doing: 'its tests run', since: new Date(tests.sinceMs) }
  const since = startedAt ?? scheduledAt
  return { doing: 'it is graded: around the tests', ...(since && { since }) }
}
