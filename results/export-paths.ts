import type { RolloutResult, StepResult } from '../protocol/grade.ts'

/** What a rollout's result says about where its objects belong. */
type Layout = Pick<RolloutResult, 'incarnations' | 'steps'>

/**
 * Where the objects of one rollout go in its exported folder. Keys are relative to the rollout's prefix in the store
 * (store/keys.ts); objects that are not exported as they are (result, artifacts, opened) are left out. What belongs to a
 * step of the last incarnation goes below `steps/<name>/`, as in Harbor.
 */
export function exportPaths(keys: readonly string[], layout: Layout): Map<string, string> {
  const gradings = keys.flatMap(gradingOf)
  const paths = keys.map((key) => [key, exportPath(key, { gradings, layout })] as const)
  return new Map(paths.flatMap(([key, path]) => (path === undefined ? [] : [[key, path] as const])))
}

/** One grading attempt: (incarnation, phase). */
type Grading = readonly [incarnation: number, phase: number]

interface Rollout {
  readonly gradings: readonly Grading[]
  readonly layout: Layout
}

function exportPath(key: string, rollout: Rollout): string | undefined {
  return key === 'trace.jsonl' ? key : (execPath(key) ?? agentPath(key, rollout) ?? verifierPath(key, rollout))
}

/** Named like the trace names its execs (`traceExecId`). */
function execPath(key: string): string | undefined {
  const [, incarnation, file] = /^(i\d+)\/execs\/([^/]+)$/.exec(key) ?? []
  return file === undefined ? undefined : `execs/${incarnation}-${file}`
}

function agentPath(key: string, rollout: Rollout): string | undefined {
  const [, incarnation, phase, file] = /^i(\d+)\/p(\d+)\/turns\/([^/]+)$/.exec(key) ?? []
  if (file === undefined) return undefined
  const moment = [Number(incarnation), Number(phase)] as const
  return `${folderOf(moment, rollout)}agent/i${incarnation}-p${phase}-${file}`
}

/** The last grading attempt (of each step) lies where Harbor has it, earlier ones below `verifier/earlier`. */
function verifierPath(key: string, rollout: Rollout): string | undefined {
  const [, incarnation, phase, log, grade] = /^i(\d+)\/p(\d+)\/(?:verifier\/([^/]+)|(grade\.json))$/.exec(key) ?? []
  const file = log ?? grade
  if (file === undefined) return undefined
  const moment = [Number(incarnation), Number(phase)] as const
  const folder = folderOf(moment, rollout)
  const last = rollout.gradings
    .filter((grading) => folderOf(grading, rollout) === folder)
    .toSorted(compareGradings)
    .at(-1)
  const isLast = last !== undefined && compareGradings(last, moment) === 0
  return isLast ? `${folder}verifier/${file}` : `${folder}verifier/earlier/i${incarnation}-p${phase}/${file}`
}

/** Folder of the step to which a moment belongs, with a slash at its end; empty for the rollout's own. */
function folderOf([incarnation, phase]: Grading, { layout }: Rollout): string {
  if (incarnation !== layout.incarnations) return ''
  const step = layout.steps?.find(({ firstPhase, lastPhase }) => phase >= firstPhase && phase <= lastPhase)
  return step === undefined ? '' : stepFolder(step)
}

/** Of a step in the rollout's folder, with a slash at its end. */
export function stepFolder({ name }: Pick<StepResult, 'name'>): string {
  return `steps/${name}/`
}

function gradingOf(key: string): Grading[] {
  const [, incarnation, phase] = /^i(\d+)\/p(\d+)\/(?:verifier\/[^/]+|grade\.json)$/.exec(key) ?? []
  return phase === undefined ? [] : [[Number(incarnation), Number(phase)]]
}

function compareGradings(a: Grading, b: Grading): number {
  return a[0] - b[0] || a[1] - b[1]
}
