/** Everything a worker registers. */
export { jobWorkflow } from './job.ts'
export { nightlyWorkflow, tellWorkflow } from './nightly.ts'
export { poolWorkflow } from './pool.ts'
export { rolloutWorkflow } from './rollout.ts'
export { shardWorkflow } from './shard.ts'
