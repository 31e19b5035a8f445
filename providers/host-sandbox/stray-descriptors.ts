import { access, readdir, readFile } from 'node:fs/promises'

const closeOnExec = 0o2000000
let found: Promise<readonly number[]> | undefined

/**
 * Descriptors that this process got from its parent and would hand on to a sandbox: Node closes on exec only what it has
 * opened itself. They never change, so they are looked for once.
 */
export function strayDescriptors(): Promise<readonly number[]> {
  found ??= findStrays()
  return found
}

/** The beginning of a command line that closes them; empty when there are none. Only bash can close those above 9. */
export function closingDescriptors(descriptors: readonly number[]): string[] {
  if (descriptors.length === 0) return []
  const closing = descriptors.map((descriptor) => `${descriptor}>&-`).join(' ')
  return ['/bin/bash', '-c', `exec ${closing}; exec "$@"`, 'rollcall-launch']
}

async function findStrays(): Promise<readonly number[]> {
  const hasBash = await access('/bin/bash').then(
    () => true,
    () => false,
  )
  if (!hasBash) return []
  const descriptors = (await readdir('/proc/self/fd')).map(Number).filter((descriptor) => descriptor > 3)
  const isStray = await Promise.all(descriptors.map(staysOpenOnExec))
  return descriptors.filter((_descriptor, index) => isStray[index])
}

async function staysOpenOnExec(descriptor: number): Promise<boolean> {
  const info = await readFile(`/proc/self/fdinfo/${descriptor}`, 'utf8').catch(() => undefined)
  const flags = /^flags:\s*(\d+)$/m.exec(info ?? '')?.[1]
  return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0
}
