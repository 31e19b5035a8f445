/**
 * `npm test`: provisions this machine, runs every test that it can run, says plainly what was not run and why, and ends
 * with the line `N passed, N failed`. Exits 1 when a test failed and, with `CI=true`, when anything was not run.
 * `npm test -- client` runs only the files whose path contains "client".
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { provision } from './provision.ts'
import { findTestFiles, planTests, testProjects } from './test-plan.ts'
import { countTests, totals } from './vitest-report.ts'
import type { TestCounts } from './vitest-report.ts'

const root = join(import.meta.dirname, '..')
const vitest = join(root, 'node_modules/vitest/vitest.mjs')

const filters = process.argv.slice(2)
const files = (await findTestFiles(root)).filter(
  (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
)
const notRun = planTests(files, await provision())
const leftOut = new Set(notRun.map(({ file }) => file))
const counts = await runVitest(files.filter((file) => !leftOut.has(file)))
console.log('')
for (const { file, why } of notRun) console.log(`not run: ${file} (${why})`)
for (const name of counts.skipped) console.log(`not run: ${name} (skipped by the test itself)`)
const incomplete = process.env['CI'] === 'true' && notRun.length + counts.skipped.length > 0
if (incomplete) console.log('In CI everything must run.')
process.exitCode = counts.failed > 0 || counts.passed === 0 || incomplete ? 1 : 0
console.log(totals(counts))

async function runVitest(chosen: readonly string[]): Promise<TestCounts> {
  if (chosen.length === 0) return { passed: 0, failed: 0, skipped: [] }
  const folder = await mkdtemp(join(tmpdir(), 'rollcall-test-'))
  const report = join(folder, 'report.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const projects = testProjects.flatMap((project) => ['--project', project])
  // Whole paths, since vitest takes every file whose path contains one of these.
  const paths = chosen.map((file) => join(root, file))
  try {
    // process.execPath: the Node that npm put first on PATH, not whichever Node the machine has.
    const args = [vitest, 'run', ...projects, ...reporters, ...paths]
    await execa(process.execPath, args, { cwd: root, stdio: 'inherit', reject: false })
    return countTests(await readFile(report, 'utf8'))
  } catch (error) {
    console.log(`vitest wrote no report: ${error instanceof Error ? error.message : String(error)}`)
    return { passed: 0, failed: 1, skipped: [] }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
