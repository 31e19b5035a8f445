import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { processesNaming, untilNothing } from '../cli/fixtures/rollcall-process.ts'

/**
 * The built package as its users have it: packed, unpacked into an empty project, with only those packages beside it
 * that its manifest names.
 */

const root = join(import.meta.dirname, '..')
const compiler = join(root, 'node_modules/typescript/bin/tsc')
let folder = ''
let project = ''
let main = ''
let env: Record<string, string> = {}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rollcall-build-'))
  project = join(folder, 'project')
  main = join(project, 'node_modules/rollcall/cli/main.js')
  env = { TEMPORAL_ADDRESS: '', ROLLCALL_STATE_DIR: join(folder, 'state') }
  await execa(process.execPath, [join(root, 'scripts/build.ts'), join(folder, 'dist')])
  await unpack(await pack())
})

afterAll(async () => {
  // Ends the job also when the test has failed before its end; its worker needs the server to see that it is over.
  await rollcall(['cancel', 'built'])
  await untilNothing(() => processesNaming(project), 60_000)
  await rollcall(['server', 'stop'])
  await rm(folder, { recursive: true, force: true })
})

const packed = z.tuple([z.object({ filename: z.string() })])

async function pack(): Promise<string> {
  const { stdout } = await execa('npm', ['pack', '--json', '--pack-destination', folder], { cwd: join(folder, 'dist') })
  return join(folder, packed.parse(JSON.parse(stdout))[0].filename)
}

async function unpack(tarball: string): Promise<void> {
  const target = join(project, 'node_modules/rollcall')
  await mkdir(target, { recursive: true })
  await execa('tar', ['-xzf', tarball, '--strip-components=1', '-C', target])
  const { dependencies } = manifestSchema.parse(
    (await import(join(target, 'package.json'), { with: { type: 'json' } })).default,
  )
  for (const name of [...Object.keys(dependencies), '@types/node']) {
    const link = join(project, 'node_modules', name)
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(root, 'node_modules', name), link)
  }
}

const manifestSchema = z.object({ dependencies: z.record(z.string(), z.string()) })

function rollcall(args: readonly string[]) {
  return execa(process.execPath, [main, ...args], { cwd: project, env, all: true, reject: false })
}

test('the installed command tells its version and helps', async () => {
  const { stdout } = await rollcall(['--help'])
  expect(stdout).toContain('Usage: rollcall')
  expect((await rollcall(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+$/)
})

test('the package holds no tests, no fixtures and no TypeScript but declarations', async () => {
  const files = await readdir(join(project, 'node_modules/rollcall'), { recursive: true })
  expect(files).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'cli/main.js', 'runner/attach.sh']))
  const foreign = files.filter((path) => /\.test\.|fixture|(?<!\.d)\.ts$/.test(path))
  expect(foreign).toEqual([])
})

test('a program that uses every entry point passes the compiler and runs', async () => {
  const program = `
import { Job, RollcallError, Taskset } from 'rollcall'
import type { JobEvent, JobSummary } from 'rollcall'
import { defineAgent } from 'rollcall/agents'
import { conformanceCases } from 'rollcall/conformance'

export const agent = defineAgent<{ seen: number }>({
  name: 'mine',
  next: async ({ state, transcript }) =>
    transcript.length > 0 ? { done: true } : { calls: [], state: { seen: (state?.seen ?? 0) + 1 } },
})
export const follow = async (job: Job, see: (event: JobEvent) => void): Promise<JobSummary> => {
  for await (const event of job.events()) see(event)
  return await job.result()
}
const error = await Taskset.load('nowhere').catch((error: unknown) => error)
console.log(error instanceof RollcallError ? error.code : error, conformanceCases.length > 0)
// @ts-expect-error the compiler sees the types: attempts is a number
export const wrong = (taskset: Taskset) => taskset.run({ attempts: 'two' })
`
  await writeFile(join(project, 'program.ts'), program)
  await writeFile(join(project, 'package.json'), '{ "type": "module" }')
  const options = '--strict --module nodenext --target es2024 --types node --skipLibCheck --noEmit'.split(' ')
  const { stdout, exitCode } = await execa(process.execPath, [compiler, ...options, 'program.ts'], {
    cwd: project,
    reject: false,
  })
  expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 0 })
  const ran = await execa(process.execPath, ['program.ts'], { cwd: project, env })
  expect(ran.stdout).toBe('task-invalid true')
})

test('the installed command runs a job with a worker of its own in local sandboxes, and makes its report', async () => {
  const task = join(root, 'examples/tasks/hello')
  const { all, exitCode } = await rollcall(['run', task, '--provider', 'local', '--agent', 'oracle', '--job', 'built'])
  expect(all).toMatch(/hello .* 1\.000/)
  expect(exitCode).toBe(0)
  const report = join(project, 'built.html')
  expect((await rollcall(['report', 'built', '-o', report])).exitCode).toBe(0)
  expect(await readFile(report, 'utf8')).toMatch(/hello\.oracle\.1[^]*Chart\.js/)
})
