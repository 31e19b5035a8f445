/**
 * Makes the images that Docker tests run in, with no registry: a busybox of 2 MB and a minimal Debian. Both are cached
 * (the Debian as a tar, because debootstrap takes half a minute and an import one second) and never carry the name of
 * a public image; `testImageMap` puts them in the place of those that tasks name.
 *
 * Run by itself (`node scripts/test-images.ts`) it makes both and prints the map.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, chmod, copyFile, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { execa } from 'execa'
import { lock } from 'proper-lockfile'
import { cacheDirectory } from '../protocol/directories.ts'
import { connectToDocker, type DockerConnection } from '../providers/docker/docker-connection.ts'

export const testImages = {
  busybox: 'rollcall-test/busybox:latest',
  debian: 'rollcall-test/debian:latest',
} as const

/** What tests and scripts pass as `imageMap`. */
export const testImageMap: Readonly<Record<string, string>> = {
  'python:3.12-slim': testImages.debian,
  'debian:bookworm-slim': testImages.debian,
  'debian:bookworm': testImages.debian,
  'debian:12': testImages.debian,
  'ubuntu:24.04': testImages.debian,
  'ubuntu:22.04': testImages.debian,
  'busybox:1.36': testImages.busybox,
  'alpine:3.20': testImages.busybox,
}

interface ImageRecipe {
  readonly name: string
  /** Changes when the image must be made anew. */
  readonly version: string
  readonly makeTar: (tarPath: string) => Promise<void>
  readonly config: readonly string[]
}

const recipes: Readonly<Record<keyof typeof testImages, ImageRecipe>> = {
  busybox: { name: testImages.busybox, version: '1', makeTar: makeBusyboxTar, config: ['CMD ["sh"]'] },
  debian: { name: testImages.debian, version: '1', makeTar: makeDebianTar, config: ['CMD ["bash"]'] },
}

export type EngineState =
  | { readonly ready: true; readonly version: string }
  | { readonly ready: false; readonly reason: string }

/** Whether an Engine answers at that address, and if not, what to do. */
export async function probeDocker(connection: DockerConnection): Promise<EngineState> {
  try {
    const { Version } = await connectToDocker(connection).calls.version()
    return { ready: true, version: Version }
  } catch (error) {
    return { ready: false, reason: `No Docker Engine answers (${String(error)}). Start dockerd, or install it.` }
  }
}

/**
 * Makes the test images that are not there yet; safe to call from several processes at once (a lock in the cache
 * directory). Takes 0.4 s for busybox; 30 s once and 1.5 s from then on for Debian; 5 ms when both are there.
 */
export async function ensureTestImages(options: {
  readonly connection: DockerConnection
  readonly cacheDirectory: string
  readonly images?: readonly (keyof typeof testImages)[]
}): Promise<Readonly<Record<string, string>>> {
  const { calls } = connectToDocker(options.connection)
  const wanted = (options.images ?? ['busybox', 'debian']).map((name) => recipes[name])
  const present = await Promise.all(wanted.map((recipe) => isPresent(calls, recipe)))
  if (present.every(Boolean)) return testImageMap
  const directory = join(options.cacheDirectory, 'test-images')
  await mkdir(directory, { recursive: true })
  const release = await lock(directory, { stale: 30_000, retries: { retries: 1200, factor: 1, minTimeout: 200 } })
  try {
    for (const recipe of wanted) if (!(await isPresent(calls, recipe))) await makeImage(calls, recipe, directory)
  } finally {
    await release()
  }
  return testImageMap
}

async function isPresent(docker: Docker, recipe: ImageRecipe): Promise<boolean> {
  try {
    const image = await docker.getImage(recipe.name).inspect()
    return image.Config.Labels?.['rollcall-test.version'] === recipe.version
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error && error.statusCode === 404) return false
    throw error
  }
}

async function makeImage(docker: Docker, recipe: ImageRecipe, directory: string): Promise<void> {
  const digest = createHash('sha256')
    .update(JSON.stringify([recipe.name, recipe.version, process.arch]))
    .digest('hex')
  const tarPath = join(directory, `${digest.slice(0, 16)}.tar`)
  if (!(await exists(tarPath))) {
    await recipe.makeTar(`${tarPath}.part`)
    await rename(`${tarPath}.part`, tarPath)
  }
  const [repo = '', tag = ''] = recipe.name.split(':')
  const changes = [...recipe.config, `LABEL rollcall-test.version=${recipe.version}`]
  const answer = await docker.importImage(createReadStream(tarPath), { repo, tag, changes })
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(answer, (error: Error | null) => (error ? reject(error) : resolve()))
  })
}

async function makeBusyboxTar(tarPath: string): Promise<void> {
  const binary = (await exists('/bin/busybox')) ? '/bin/busybox' : '/usr/bin/busybox'
  const { stdout: linkage } = await execa('ldd', [binary], { reject: false, all: true })
  if (!/not a dynamic executable|statically linked/.test(linkage) && linkage.includes('=>')) {
    throw new Error(`${binary} is not static; install busybox-static`)
  }
  await inTemporaryRoot(async (root) => {
    for (const path of ['bin', 'etc', 'root', 'tmp', 'usr/bin', 'sbin', 'home/agent']) {
      await mkdir(join(root, path), { recursive: true })
    }
    await chmod(join(root, 'tmp'), 0o1777)
    await copyFile(binary, join(root, 'bin/busybox'))
    await chmod(join(root, 'bin/busybox'), 0o755)
    const { stdout: applets } = await execa(binary, ['--list'])
    for (const applet of applets.split('\n')) {
      if (applet !== 'busybox') await symlink('busybox', join(root, 'bin', applet))
    }
    await addAgentUser(root, 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n', 'root:x:0:\n')
    await packTar(root, tarPath)
  })
}

async function makeDebianTar(tarPath: string): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error('debootstrap needs root: run `node scripts/test-images.ts` once as root')
  await inTemporaryRoot(async (root) => {
    await execa('debootstrap', ['--variant=minbase', 'bookworm', root, 'http://deb.debian.org/debian'])
    await Promise.all(
      ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/locale', 'usr/share/man'].map((path) =>
        rm(join(root, path), { recursive: true, force: true }),
      ),
    )
    await execa('chroot', [root, 'useradd', '--uid', '1000', '--create-home', '--shell', '/bin/bash', 'agent'])
    await packTar(root, tarPath)
  })
}

async function addAgentUser(root: string, passwd: string, group: string): Promise<void> {
  await writeFile(join(root, 'etc/passwd'), `${passwd}agent:x:1000:1000:agent:/home/agent:/bin/sh\n`)
  await writeFile(join(root, 'etc/group'), `${group}agent:x:1000:\n`)
  await execa('chown', ['-R', '1000:1000', join(root, 'home/agent')])
}

async function packTar(root: string, tarPath: string): Promise<void> {
  const empty = ['./dev/*', './proc/*', './sys/*'].map((pattern) => `--exclude=${pattern}`)
  await execa('tar', ['--numeric-owner', '--one-file-system', ...empty, '-C', root, '-cf', tarPath, '.'])
}

/** On tmpfs where there is one: most of debootstrap's time is dpkg's fsync. */
async function inTemporaryRoot(use: (root: string) => Promise<void>): Promise<void> {
  const parent = (await exists('/dev/shm')) ? '/dev/shm' : tmpdir()
  const root = await mkdtemp(join(parent, 'rollcall-test-image-'))
  try {
    await chmod(root, 0o755)
    await use(root)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1]) {
  const map = await ensureTestImages({
    connection: { socketPath: '/var/run/docker.sock' },
    cacheDirectory: cacheDirectory(process.env),
  })
  process.stdout.write(`${JSON.stringify(map, undefined, 2)}\n`)
}
