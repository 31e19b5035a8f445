/** `imageMap` of a spec: image names to replace. */
export type ImageMap = Readonly<Record<string, string>>

/**
 * The name to use instead of `name`, or `name` itself. Names are compared in full, so that a map for
 * `docker.io/library/python:3.12-slim` replaces `python:3.12-slim` too, and one for `debian` replaces `debian:latest`.
 */
export function mapImage(imageMap: ImageMap, name: string): string {
  const wanted = fullImageName(name)
  const match = Object.entries(imageMap).find(([from]) => fullImageName(from) === wanted)
  return match?.[1] ?? name
}

/** Registry, path and tag spelled out, as Docker completes them. */
export function fullImageName(name: string): string {
  const [path = '', digest] = name.split('@')
  const slash = path.indexOf('/')
  const first = slash === -1 ? '' : path.slice(0, slash)
  const hasRegistry = first.includes('.') || first.includes(':') || first === 'localhost'
  const registry = hasRegistry ? first : 'docker.io'
  const inRegistry = hasRegistry ? path.slice(slash + 1) : path
  const repository = registry === 'docker.io' && !inRegistry.includes('/') ? `library/${inRegistry}` : inRegistry
  if (digest !== undefined) return `${registry}/${repository}@${digest}`
  const hasTag = repository.lastIndexOf(':') > repository.lastIndexOf('/')
  return `${registry}/${repository}${hasTag ? '' : ':latest'}`
}
