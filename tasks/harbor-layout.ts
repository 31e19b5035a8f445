import { join } from 'node:path'
import type { Problem } from '../providers/contract/provider.ts'
import type { HarborStep, HarborTaskFile } from './harbor-schema.ts'
import { verifierEnvironment, verifierMode } from './harbor-verifier.ts'
import { shownValue, unreadValue } from './problems.ts'
import { readPlainFile } from './read-plain-file.ts'
import type { TaskFile } from './task-files.ts'

/** What agents are told: of the task, and of each step by its name. */
export interface Instructions {
  readonly task: string
  readonly steps: ReadonlyMap<string, string>
  readonly problems: readonly Problem[]
}

/** Reads `instruction.md`, or those of the steps: a task of several steps has none of its own. */
export async function readInstructions(root: string, file: HarborTaskFile | undefined): Promise<Instructions> {
  const steps = file?.steps ?? []
  if (steps.length === 0) {
    const { text, problems } = await readInstruction(root, 'instruction.md')
    return { task: text, steps: new Map(), problems }
  }
  const names = [...new Set(steps.map(({ name }) => name))]
  const read = await Promise.all(names.map((name) => readInstruction(root, `steps/${name}/instruction.md`)))
  const texts = names.map((name, index) => [name, read[index]?.text ?? ''] as const)
  return { task: '', steps: new Map(texts), problems: read.flatMap(({ problems }) => problems) }
}

async function readInstruction(root: string, field: string): Promise<{ text: string; problems: Problem[] }> {
  const bytes = await readPlainFile(join(root, field)).catch(unreadValue)
  if (!Buffer.isBuffer(bytes)) {
    return { text: '', problems: [{ field, ...bytes, expected: 'a file with what the agent is told' }] }
  }
  const text = bytes.toString('utf8')
  if (text.trim() !== '' && !text.includes('\0')) return { text, problems: [] }
  return { text, problems: [{ field, value: shownValue(text), expected: 'what the agent is told, as text' }] }
}

/** Files that must or must not be there, in the light of what the task says. */
export function layoutProblems(
  files: readonly TaskFile[],
  file: HarborTaskFile | undefined,
  { isJudged = false }: { isJudged?: boolean } = {},
): Problem[] {
  const paths = new Set(files.filter(({ type }) => type !== 'directory').map(({ path }) => path))
  const parts: readonly (HarborStep | undefined)[] = file?.steps?.length ? file.steps : [undefined]
  return [
    ...(isJudged ? [] : distinct(parts.flatMap((step) => testProblems(paths, file ?? {}, step)))),
    ...unknownSteps(paths, file),
    ...[...paths].filter((path) => refusedFiles.some(({ pattern }) => pattern.test(path))).map(refused),
  ]
}

const refusedFiles = [
  {
    pattern: /^environment\/docker-compose\.ya?ml$/,
    expected: 'no compose file: tasks of several services are not supported; build one image with a Dockerfile',
  },
  {
    pattern: /^(steps\/[^/]+\/)?trajectory\.json$/,
    expected: 'none: earlier context for the agent is not supported; put it into instruction.md',
  },
] as const

function refused(field: string): Problem {
  const { expected } = refusedFiles.find(({ pattern }) => pattern.test(field)) ?? { expected: 'none' }
  return { field, value: 'present', expected }
}

/** Shared tests are uploaded; separate ones have to be in the verifier's image already. */
function testProblems(paths: ReadonlySet<string>, file: HarborTaskFile, step: HarborStep | undefined): Problem[] {
  const folders = step === undefined ? ['tests'] : [`steps/${step.name}/tests`, 'tests']
  const has = (name: string) => folders.some((folder) => paths.has(`${folder}/${name}`))
  const field = (name: string) => folders.map((folder) => `${folder}/${name}`).join(' or ')
  if (verifierMode(file, step) === 'shared') {
    const expected = 'a script that writes /logs/verifier/reward.txt'
    return has('test.sh') ? [] : [{ field: field('test.sh'), expected }]
  }
  if (has('Dockerfile') || verifierEnvironment(file, step).docker_image !== undefined) return []
  const expected =
    'a Dockerfile that puts the tests at /tests/test.sh, since the verifier is separate; or a docker_image'
  return [{ field: field('Dockerfile'), expected }]
}

/** A folder below `steps/` that task.toml does not name is a misspelled step. */
function unknownSteps(paths: ReadonlySet<string>, file: HarborTaskFile | undefined): Problem[] {
  if (file === undefined) return []
  const known = new Set(file.steps?.map(({ name }) => name))
  const folders = new Set([...paths].flatMap((path) => /^steps\/([^/]+)\//.exec(path)?.[1] ?? []))
  return [...folders]
    .filter((name) => !known.has(name))
    .map((name) => ({ field: `steps/${name}`, value: 'present', expected: 'a step of that name in [[steps]]' }))
}

function distinct(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [problem.field, problem])).values()]
}
