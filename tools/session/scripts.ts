import { readFileSync } from 'node:fs'

/** The programs of a session inside a sandbox: POSIX sh, and Python's standard library for the interpreter. */

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8')

/** Comments stay out: the text is a request of every call. */
const compact = (script: string): string => script.replaceAll(/^ *#.*\n/gm, '').replaceAll(/^ +/gm, '')

/** Where the tools keep files of their own, of RC_SCOPE and RC_NAME: `_D`. */
export const placeScript = compact(read('place.sh'))

/** Runs as long as the session does. */
export const driverScript = `${placeScript}${read('driver.sh').replaceAll(/^ *#.*\n/gm, '')}`

/** One call to a session. */
export const clientScript = placeScript + compact(read('client.sh'))

export const pythonKernel = read('kernel.py')

/** Prints an image of the latest command: that of number RC_IMAGE. */
export const imageScript = `${placeScript}read -r _n <"$_D/n" && cat "$_D/$_n.$RC_IMAGE.png"`
