import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const command = 'apt-get install -y bubblewrap'

/** What to do when bubblewrap does not work, one sentence. */
export function bubblewrapAdvice(reason: string): string {
  if (/ENOENT/.test(reason)) {
    return `bubblewrap, which is not installed: ${command} (as root; other systems have a package of that name), or consent to go without by --unsafe-local`
  }
  return `bubblewrap with user namespaces, and bwrap says: ${reason}; allow them (sysctl kernel.unprivileged_userns_clone=1, or outside of this container), use --provider docker, or consent to go without by --unsafe-local`
}

/**
 * Installs bubblewrap where that is possible without asking: as root on Debian and its like. Answers whether `bwrap` is
 * there afterwards; otherwise `onProgress` has said which command to run.
 */
export async function provisionBubblewrap(onProgress: (line: string) => void): Promise<boolean> {
  if (await isInstalled()) return true
  const hasApt = await access('/usr/bin/apt-get').then(
    () => true,
    () => false,
  )
  if (process.getuid?.() !== 0 || !hasApt) {
    onProgress(`bubblewrap is missing; install it as root: ${command}`)
    return false
  }
  onProgress(`installing bubblewrap: ${command}`)
  if (!(await tryApt(['install']))) {
    onProgress('refreshing the package list: apt-get update')
    await tryApt(['update'])
    if (!(await tryApt(['install']))) onProgress(`bubblewrap could not be installed; try it by hand: ${command}`)
  }
  return await isInstalled()
}

async function isInstalled(): Promise<boolean> {
  return await run('bwrap', ['--version']).then(
    () => true,
    () => false,
  )
}

async function tryApt(verb: ['install'] | ['update']): Promise<boolean> {
  const args = verb[0] === 'install' ? ['install', '-y', '--no-install-recommends', 'bubblewrap'] : ['update']
  const options = {
    timeout: 300_000,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' },
  }
  return await run('apt-get', args, options).then(
    () => true,
    () => false,
  )
}
