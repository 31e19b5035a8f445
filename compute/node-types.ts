/** Kinds of places that a node can be; each is the provider of that name. */
export const nodeTypes = ['local', 'docker', 'ssh', 'modal'] as const
export type NodeType = (typeof nodeTypes)[number]
