import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa } from 'execa'

const modulePath = 'github.com/temporalio/cli/cmd/temporal'
const oldestGo = { major: 1, minor: 25 }
const progressEveryMs = 5_000

/**
 * Builds the Temporal CLI from its Go module and puts the program at `target` by rename: about five minutes on two
 * cores when nothing is cached, with a line of progress every few seconds. Throws a plain Error with the reason.
 */
export async function buildTemporal(options: {
  version: string
  target: string
  env: Readonly<Record<string, string | undefined>>
  onProgress: (line: string) => void
}): Promise<void> {
  await assertGo(options.env)
  await mkdir(dirname(options.target), { recursive: true })
  const folder = await mkdtemp(join(dirname(options.target), '.build-'))
  try {
    options.onProgress(`building the Temporal server from its Go module, about five minutes`)
    await goInstall({ ...options, module: `${modulePath}@v${options.version}`, folder })
    await rename(join(folder, 'temporal'), options.target)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Installs one program of a Go module into `folder`, with progress; throws an Error with Go's last line. */
export async function goInstall(options: {
  module: string
  folder: string
  env: Readonly<Record<string, string | undefined>>
  onProgress: (line: string) => void
}): Promise<void> {
  const env = { ...options.env, CGO_ENABLED: '0', GOBIN: options.folder, GOFLAGS: undefined }
  const build = execa('go', ['install', '-v', '-trimpath', '-ldflags', '-s -w', options.module], {
    env,
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
  })
  const startedAt = Date.now()
  let lastLine = ''
  const elapsed = () => `${Math.round((Date.now() - startedAt) / 1000)} s`
  const timer = setInterval(() => options.onProgress(`building, ${elapsed()}: ${lastLine}`), progressEveryMs)
  try {
    for await (const line of build.iterable({ from: 'stderr' })) lastLine = line.replace(/^go: /, '')
    const result = await build
    if (result.failed) throw new Error(`go install ${options.module} failed: ${lastLine || result.message}`)
  } finally {
    clearInterval(timer)
  }
}

async function assertGo(env: Readonly<Record<string, string | undefined>>): Promise<void> {
  const { stdout, failed } = await execa('go', ['version'], { env, extendEnv: false, reject: false })
  if (failed) throw new Error('Go is not installed')
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(stdout) ?? []
  if (Number(major) === oldestGo.major && Number(minor) >= oldestGo.minor) return
  throw new Error(`Go ${oldestGo.major}.${oldestGo.minor} or later is needed, here is "${stdout}"`)
}
