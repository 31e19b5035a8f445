/** Nodes from TypeScript: `import { Nodes } from 'rollcall/compute'`. */
export { Nodes } from './nodes.ts'
export type { NewNode } from './nodes.ts'
export { NodeRegistry } from './node-registry.ts'
export { SshKeys } from './ssh-keys.ts'
export type { NewKey, StoredKey } from './ssh-keys.ts'
export { selectNode } from './requirement.ts'
export { nodeTypes } from './node.ts'
export type { ComputeNode, NodeReport, NodeType } from './node.ts'
