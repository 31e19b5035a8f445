/**
 * Makes this machine able to run every test: for root on Debian it installs what is missing, starts dockerd when none
 * answers, builds the Temporal server, an S3 server and the test images. Elsewhere it says what is missing and goes on.
 * Safe to run at any time, also twice at once; the second run takes a second. `node scripts/provision.ts` runs it by
 * itself.
 */
import { execa } from 'execa'
import { findTemporal } from '../client/server/binary.ts'
import { cacheDirectory } from '../protocol/directories.ts'
import { addSystemFoldersToPath, describeFailure, installPackages, isOnPath, isRootOnDebian } from './debian.ts'
import { dockerSocket, ensureDockerd } from './dockerd.ts'
import { ensureTestImages } from './test-images.ts'
import { ensureVersitygw } from './versitygw.ts'

/** What a test can need beyond Node. */
export type Need = 'temporal' | 'docker' | 'bubblewrap' | 's3' | 'chromium' | 'sshd'

/** For each need, undefined when it is met, else one sentence that says why it is not. */
export type Provisioned = Readonly<Record<Need, string | undefined>>

/** Program to look for, and the Debian package that brings it. */
const programs = {
  dockerd: 'docker.io',
  debootstrap: 'debootstrap',
  bwrap: 'bubblewrap',
  busybox: 'busybox-static',
  sshd: 'openssh-server',
  'ssh-keygen': 'openssh-client',
  dash: 'dash',
  setsid: 'util-linux',
} as const

export async function provision(): Promise<Provisioned> {
  addSystemFoldersToPath()
  await installPrograms()
  const temporal = await failureOf(provisionTemporal)
  const docker = await failureOf(provisionDocker)
  const bubblewrap = await failureOf(proveBubblewrap)
  const s3 = await failureOf(provisionS3)
  const chromium = await failureOf(provisionChromium)
  const sshd = (await isOnPath('sshd')) ? undefined : 'as root on Debian: apt-get install openssh-server'
  const result = { temporal, docker, bubblewrap, s3, chromium, sshd }
  for (const [need, why] of Object.entries(result)) say(`${need}: ${why === undefined ? 'ready' : `missing, ${why}`}`)
  return result
}

async function installPrograms(): Promise<void> {
  const names = Object.keys(programs) as (keyof typeof programs)[]
  const present = await Promise.all(names.map(isOnPath))
  const missing = names.filter((_, index) => !present[index])
  if (missing.length === 0) return say('all programs are installed')
  say(`missing: ${missing.join(', ')}`)
  const failure = await failureOf(() =>
    installPackages(
      missing.map((name) => programs[name]),
      say,
    ),
  )
  if (failure !== undefined) say(failure)
}

async function provisionTemporal(): Promise<void> {
  const binary = await findTemporal({ env: process.env, cacheDirectory: cacheDirectory(process.env), onProgress: say })
  say(`the Temporal server ${binary.serverVersion} is ${binary.path}`)
}

async function provisionDocker(): Promise<void> {
  const directories = { cacheDirectory: cacheDirectory(process.env) }
  if (await isRootOnDebian()) await ensureDockerd({ ...directories, onProgress: say })
  say('making the test images that are missing (half a minute the first time)')
  await ensureTestImages({ ...directories, connection: { socketPath: dockerSocket } })
}

/** A server like S3 on loopback, for the tests of the store. */
async function provisionS3(): Promise<void> {
  await ensureVersitygw({ cacheDirectory: cacheDirectory(process.env), onProgress: say })
}

/** A browser for the tests of the report. By itself, since it is large: without it everything else is to be had. */
async function provisionChromium(): Promise<void> {
  if (!(await isOnPath('chromium'))) await installPackages(['chromium'], say)
  await execa('chromium', ['--version'])
}

/** A program that is installed is not yet allowed to make namespaces. */
async function proveBubblewrap(): Promise<void> {
  await execa('bwrap', ['--ro-bind', '/', '/', '--unshare-all', '--proc', '/proc', 'true'])
}

async function failureOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return describeFailure(error)
  }
}

function say(line: string): void {
  console.log(`provision: ${line}`)
}

if (process.argv[1] === import.meta.filename) {
  const provisioned = await provision()
  process.exitCode = Object.values(provisioned).some((why) => why !== undefined) ? 1 : 0
}
