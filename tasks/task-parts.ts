import type { Task, TaskArtifact, TaskStep } from './task.ts'

/** What an agent is given at once and is graded for: a whole task, or one step of it. */
export interface TaskPart extends Omit<TaskStep, 'name'> {
  /** Absent for a task of one part. */
  readonly step?: string
  /** All that are collected at the end of this part besides `/logs/artifacts`: the task's, then the step's. */
  readonly artifacts: readonly TaskArtifact[]
  /** Folder of the task in which this part's `tests/`, `solution/` and `workdir/` lie, with a slash at its end, or empty. */
  readonly folder: string
}

/** Every part in order: the steps, or the task itself. */
export function partsOf(task: Task): readonly TaskPart[] {
  return task.steps.length === 0 ? [wholeTask(task)] : task.steps.map((step) => stepPart(task, step))
}

/** @param index of the step; absent for a task of one part */
export function partOf(task: Task, index?: number): TaskPart {
  const part = partsOf(task)[index ?? 0]
  if (part === undefined) throw new Error(`Task ${task.name} has no step ${index}`)
  return part
}

function wholeTask({ instruction, agent, verifier, artifacts }: Task): TaskPart {
  return { instruction, agent, verifier, artifacts, folder: '' }
}

function stepPart(task: Task, { name, ...step }: TaskStep): TaskPart {
  return { ...step, step: name, artifacts: [...task.artifacts, ...step.artifacts], folder: `steps/${name}/` }
}

/** Folders whose files are uploaded to `/tests`, a later one over an earlier one. */
export function testFolders(task: Pick<Task, 'files'>, { folder }: Pick<TaskPart, 'folder'>): string[] {
  const folders = folder === '' ? ['tests'] : ['tests', `${folder}tests`]
  return folders.filter((one) => hasFolder(task, one))
}

/** Whether the oracle has something to play in every part. */
export function hasSolution(task: Task): boolean {
  return partsOf(task).every(({ folder }) =>
    ['solution/solve.sh', 'solution/turns.yaml'].some((path) => task.files.includes(`${folder}${path}`)),
  )
}

/** Whether the task brings files in a folder. */
export function hasFolder(task: Pick<Task, 'files'>, folder: string): boolean {
  return task.files.some((path) => path.startsWith(`${folder}/`))
}
