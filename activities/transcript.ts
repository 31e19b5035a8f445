import type { Turn } from '../agents/agent.ts'
import { answerKey, rolloutPrefix, turnResultKey } from '../store/keys.ts'
import type { RolloutPlace } from '../store/keys.ts'
import type { Store } from '../store/store.ts'
import type { StoredAnswer, StoredTurnResult } from '../store/records.ts'
import { getJson } from '../store/stored-json.ts'

/** How many turns are looked up at the same time. */
const readAhead = 16

/** All turns of a phase whose results are stored, complete and in order: the first gap ends it. */
export async function readTranscript(store: Store, at: RolloutPlace & { phase: number }): Promise<Turn[]> {
  const turns: Turn[] = []
  for (;;) {
    const numbers = Array.from({ length: readAhead }, (_, index) => turns.length + index)
    const read = await Promise.all(numbers.map((turn) => readTurn(store, { ...at, turn })))
    const gap = read.indexOf(undefined)
    turns.push(...read.slice(0, gap === -1 ? undefined : gap).filter((turn) => turn !== undefined))
    if (gap !== -1) return turns
  }
}

/** All turns of the incarnation's phases before this one: those of a task's earlier steps. */
export async function readEarlierSteps(store: Store, at: RolloutPlace & { phase: number }): Promise<Turn[]> {
  const prefix = `${rolloutPrefix(at.job, at.rollout)}i${at.incarnation}/`
  const found = (await store.list(prefix)).map((key) => /^p(\d+)\/turns\//.exec(key.slice(prefix.length))?.[1])
  const phases = [...new Set(found.map(Number))].filter((phase) => phase < at.phase)
  const read = await Promise.all(phases.map((phase) => readTranscript(store, { ...at, phase })))
  return read.flat()
}

async function readTurn(store: Store, at: RolloutPlace & { phase: number; turn: number }): Promise<Turn | undefined> {
  const [answer, result] = await Promise.all([
    getJson<StoredAnswer>(store, answerKey(at)),
    getJson<StoredTurnResult>(store, turnResultKey(at)),
  ])
  if (answer === undefined || result === undefined) return undefined
  return { number: at.turn, decision: answer.decision, results: result.results }
}
