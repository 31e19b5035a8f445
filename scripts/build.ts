/**
 * `npm run build`: makes the package to publish in `dist/` (or the folder that is given), in JavaScript with
 * declarations and a package.json of its own. What is compiled is what the entry points reach (tsconfig.build.json): no
 * tests, no fixtures. In the clone nothing needs it; Node runs the `.ts` files. Publish with `npm publish ./dist`.
 */
import { chmod, copyFile, glob, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { execa } from 'execa'
import { publishedManifest } from './published-manifest.ts'

const root = join(import.meta.dirname, '..')
const dist = resolve(process.argv[2] ?? join(root, 'dist'))

await rm(dist, { recursive: true, force: true })
if (await compile()) {
  await copyAssets()
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) await copyFile(join(root, name), join(dist, name))
  await chmod(join(dist, 'cli/main.js'), 0o755)
  await writeManifest()
  console.log(`built ${dist}; publish it with: npm publish ${dist}`)
} else {
  process.exitCode = 1
}

/** False when the sources have errors, which the compiler has printed; nothing is written then. */
async function compile(): Promise<boolean> {
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const args = [compiler, '-p', 'tsconfig.build.json', '--outDir', dist]
  const { exitCode } = await execa(process.execPath, args, { cwd: root, stdio: 'inherit', reject: false })
  return exitCode === 0
}

/** What is read at run time beside the module that uses it, so that the compiler does not see it. */
async function copyAssets(): Promise<void> {
  for await (const path of glob(['{runner,providers,compute,tools}/**/*.{sh,py}', 'results/report/browser.{css,js}'], {
    cwd: root,
  })) {
    // A folder of programs alone has no module that would have made it.
    await mkdir(dirname(join(dist, path)), { recursive: true })
    await copyFile(join(root, path), join(dist, path))
  }
}

async function writeManifest(): Promise<void> {
  const source = await readFile(join(root, 'package.json'), 'utf8')
  await writeFile(join(dist, 'package.json'), `${JSON.stringify(publishedManifest(source), undefined, 2)}\n`)
}
