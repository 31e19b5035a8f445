import { createHash } from 'node:crypto'
import { RollcallError } from '../protocol/failure.ts'

const longestLabel = 40

/**
 * A text as a label out of `[a-z0-9-]`, part of rollout names; a long one keeps a hash, so that two models do not
 * become one. @throws RollcallError `configuration-invalid` where nothing is left
 */
export function agentLabel(text: string): string {
  const slug = text
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  if (slug === '') {
    throw new RollcallError('configuration-invalid', `label is ${JSON.stringify(text)}: expected letters and digits`)
  }
  if (slug.length <= longestLabel) return slug
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 6)
  return `${slug.slice(0, longestLabel - 7).replace(/-$/, '')}-${hash}`
}
