import type { Failure } from '../protocol/failure.ts'
import { isAsHard } from '../protocol/grade.ts'
import type { Integrity } from '../protocol/grade.ts'

/** How many processes, visits and paths a message names; the grade keeps all. */
const mostNamed = 3

/** Why a grade is not of a better class, where no process says so. */
const reasons: Readonly<Record<Integrity, string>> = {
  separate: 'the verifier had a sandbox of its own',
  'non-root': 'the tests ran in the agent’s sandbox',
  clean: 'the agent could have replaced programs that the tests use',
  live: 'the sandbox does not tell the agent’s processes from others',
}

/**
 * The failure that a grade becomes whose class is weaker than the job asks for; undefined when it is good enough.
 * @param grade.evidence processes and visits that make it `live`, or changed system paths of one that is `clean`
 */
export function integrityFailure(grade: {
  found: Integrity
  required: Integrity | undefined
  evidence: readonly string[]
  isJudged?: boolean
}): Failure | undefined {
  const { found, required, evidence, isJudged = false } = grade
  if (required === undefined || isAsHard(found, required)) return undefined
  const named = evidence.slice(0, mostNamed).map((one) => (one.length <= 120 ? one : `${one.slice(0, 119)}…`))
  const more = evidence.length > mostNamed ? ` and ${evidence.length - mostNamed} more` : ''
  const reason = isJudged && found === 'clean' ? 'a judge has read what the agent wrote' : reasons[found]
  const what = found === 'live' ? 'left in the sandbox' : 'changed before the tests'
  const why = named.length > 0 && !isJudged ? `${what}: ${named.join('; ')}${more}` : reason
  return {
    code: 'integrity-too-weak',
    message: `The grade’s integrity is ${found}, weaker than ${required}, which the job requires: ${why}`,
  }
}
