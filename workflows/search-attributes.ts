import type { SearchAttributePair } from '@temporalio/common'
import { searchAttributeNames } from '../protocol/names.ts'

/** What is known of a rollout at its start; set with the start, so it costs no write of its own. */
export function attributesAtStart(at: {
  job: string
  task: string
  agent: string
  provider: string
}): SearchAttributePair[] {
  return [
    { key: { name: searchAttributeNames.job, type: 'KEYWORD' }, value: at.job },
    { key: { name: searchAttributeNames.task, type: 'KEYWORD' }, value: at.task },
    { key: { name: searchAttributeNames.agent, type: 'KEYWORD' }, value: at.agent },
    { key: { name: searchAttributeNames.provider, type: 'KEYWORD' }, value: at.provider },
    { key: { name: searchAttributeNames.state, type: 'KEYWORD' }, value: 'running' },
  ]
}

/** What a person filters by when all is over. */
export function attributesAtEnd(outcome: { state: string; reward?: number; code?: string }): SearchAttributePair[] {
  const state = {
    key: { name: searchAttributeNames.state, type: 'KEYWORD' },
    value: outcome.code ?? outcome.state,
  } as const
  if (outcome.reward === undefined) return [state]
  return [state, { key: { name: searchAttributeNames.reward, type: 'DOUBLE' }, value: outcome.reward }]
}
