export type { CapabilityNeed, ConformanceCase, ConformanceContext, OpenSandbox } from './conformance-case.ts'
export { conformanceCases } from './conformance-cases.ts'
export { createConformanceHarness, type ConformanceHarness } from './conformance-context.ts'
export { assertStillDeviates, runConformanceCase } from './run-case.ts'
