/**
 * Where the objects of one rollout go in its exported folder. Keys are relative to the rollout's prefix in the store
 * (store/keys.ts); objects that are not exported as they are (result, artifacts, opened) are left out.
 */
export function exportPaths(keys: readonly string[]): Map<string, string> {
  const lastGrading = keys.flatMap(gradingOf).toSorted(compareGradings).at(-1)
  const paths = keys.map((key) => [key, exportPath(key, lastGrading)] as const)
  return new Map(paths.flatMap(([key, path]) => (path === undefined ? [] : [[key, path] as const])))
}

/** One grading attempt: (incarnation, phase). */
type Grading = readonly [incarnation: number, phase: number]

function exportPath(key: string, lastGrading: Grading | undefined): string | undefined {
  return key === 'trace.jsonl' ? key : (execPath(key) ?? agentPath(key) ?? verifierPath(key, lastGrading))
}

/** Named like the trace names its execs (`traceExecId`). */
function execPath(key: string): string | undefined {
  const [, incarnation, file] = /^(i\d+)\/execs\/([^/]+)$/.exec(key) ?? []
  return file === undefined ? undefined : `execs/${incarnation}-${file}`
}

function agentPath(key: string): string | undefined {
  const [, incarnation, phase, file] = /^(i\d+)\/(p\d+)\/turns\/([^/]+)$/.exec(key) ?? []
  return file === undefined ? undefined : `agent/${incarnation}-${phase}-${file}`
}

/** The last grading attempt lies where Harbor has it, earlier ones below `verifier/earlier`. */
function verifierPath(key: string, last: Grading | undefined): string | undefined {
  const [, incarnation, phase, file] = /^i(\d+)\/p(\d+)\/(?:verifier\/)?([^/]+)$/.exec(key) ?? []
  if (file === undefined || !last) return undefined
  const isLast = Number(incarnation) === last[0] && Number(phase) === last[1]
  return isLast ? `verifier/${file}` : `verifier/earlier/i${incarnation}-p${phase}/${file}`
}

function gradingOf(key: string): Grading[] {
  const [, incarnation, phase] = /^i(\d+)\/p(\d+)\/(?:verifier\/[^/]+|grade\.json)$/.exec(key) ?? []
  return phase === undefined ? [] : [[Number(incarnation), Number(phase)]]
}

function compareGradings(a: Grading, b: Grading): number {
  return a[0] - b[0] || a[1] - b[1]
}
