import { commandCases } from './command-cases.ts'
import type { ConformanceCase } from './conformance-case.ts'
import { fileCases } from './file-cases.ts'
import { inputCases } from './input-cases.ts'
import { lifecycleCases } from './lifecycle-cases.ts'
import { outputCases } from './output-cases.ts'
import { recoveryCases } from './recovery-cases.ts'
import { timeoutCases } from './timeout-cases.ts'

/** Everything that a provider must be able to do, as cases that need no test framework. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...lifecycleCases,
  ...commandCases,
  ...inputCases,
  ...outputCases,
  ...fileCases,
  ...timeoutCases,
  ...recoveryCases,
]
