import { homedir } from 'node:os'
import { join } from 'node:path'

type Environment = Readonly<Record<string, string | undefined>>

/** Where Rollcall keeps what must last: store, server database, local sandboxes. `ROLLCALL_STATE_DIR` overrides. */
export function stateDirectory(env: Environment): string {
  return env['ROLLCALL_STATE_DIR'] || join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'rollcall')
}

/** What can be made again: the Temporal binary, workflow bundles, unpacked tasks. `ROLLCALL_CACHE_DIR` overrides. */
export function cacheDirectory(env: Environment): string {
  return env['ROLLCALL_CACHE_DIR'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'rollcall')
}
