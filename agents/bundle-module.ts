import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { build } from 'esbuild'
import type { BuildFailure, Metafile, Plugin } from 'esbuild'
import { RollcallError } from '../protocol/failure.ts'

/** Packages that load a native module at run time, where no bundler can see it. */
const nativeLoaders = /^(bindings|node-gyp-build|node-pre-gyp|@mapbox\/node-pre-gyp|node-gyp)$/

const refuseNative: Plugin = {
  name: 'refuse-native-modules',
  setup(building) {
    const refuse = ({ path }: { path: string }) => ({
      errors: [{ text: `${path} is a native module: expected JavaScript, which runs on every worker` }],
    })
    building.onResolve({ filter: /\.node$/ }, refuse)
    building.onResolve({ filter: nativeLoaders }, refuse)
  },
}

/** Dependencies in CommonJS ask for node's own modules by `require`, which ECMAScript modules do not have. */
const requireForCommonJs = `import { createRequire as rollcallCreateRequire } from 'node:module'
const require = rollcallCreateRequire(import.meta.url)`

/** What a file is bundled as: decides how errors are called. */
export interface BundleKind {
  readonly code: 'agent-invalid' | 'task-invalid' | 'configuration-invalid'
  /** `Agent`, `Taskset`. */
  readonly noun: string
  /** What the user names it with. */
  readonly option: string
  /** Modules that stand for others in the bundle, by their names. */
  readonly alias?: Readonly<Record<string, string>>
}

const agentKind: BundleKind = { code: 'agent-invalid', noun: 'Agent', option: '--agent' }

export interface Bundle {
  readonly bytes: Buffer
  /** sha256 of the bytes, hex. The same sources give the same bytes wherever they lie. */
  readonly hash: string
  /** Names of what the module exports. */
  readonly exports: readonly string[]
}

/**
 * Bundles a TypeScript or JavaScript file with everything it imports into one ECMAScript module; node's own modules
 * stay outside, native ones are refused by name.
 * @throws RollcallError `agent-invalid` (or what `kind` says) with every error in one sentence
 */
export async function bundleModule(path: string, kind: BundleKind = agentKind): Promise<Bundle> {
  await assertFile(path, kind)
  const result = await build({
    entryPoints: [path],
    absWorkingDir: dirname(path),
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    banner: { js: requireForCommonJs },
    plugins: [refuseNative],
    ...(kind.alias === undefined ? {} : { alias: { ...kind.alias } }),
    logLevel: 'silent',
  }).catch((error: unknown) => {
    throw bundleError(path, kind, error)
  })
  const bytes = Buffer.from(result.outputFiles[0]?.contents ?? [])
  const hash = createHash('sha256').update(bytes).digest('hex')
  return { bytes, hash, exports: exportsOf(result.metafile) }
}

async function assertFile(path: string, { code, option }: BundleKind): Promise<void> {
  if ((await stat(path).catch(() => undefined))?.isFile()) return
  throw new RollcallError(code, `${option} is ${path}, which is no file: expected a TypeScript or JavaScript file`)
}

function exportsOf(metafile: Metafile): string[] {
  return Object.values(metafile.outputs).flatMap((output) => output.exports)
}

function bundleError(path: string, { code, noun }: BundleKind, error: unknown): unknown {
  if (!isBuildFailure(error)) return error
  const reasons = error.errors.map(({ text, location }) => {
    return location ? `${location.file}:${location.line}: ${text}` : text
  })
  return new RollcallError(code, `${noun} ${path} cannot be bundled: ${reasons.join('; ')}`)
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors)
}
