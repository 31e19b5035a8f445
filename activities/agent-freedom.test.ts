import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { agentFreedomScript, isBoundUser } from './agent-freedom.ts'

/** What the script says to a user without root who has this PATH. */
async function said(path: string): Promise<string> {
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', agentFreedomScript], { ...user, env: { PATH: path } })
  return stdout
}

test('a user who can put no programs where others look for them is bound', async () => {
  expect(isBoundUser(await said('/usr/bin:/bin'))).toBe(true)
})

test('a folder of programs that the user can write, or could make, frees it; so does one that is relative', async () => {
  const own = await temporaryFolder('path')
  for (const folder of [own, `${own}/not/there/yet`, 'bin', '']) {
    expect(isBoundUser(await said(`/usr/bin:/bin:${folder}`))).toBe(false)
    expect(isBoundUser(await said(`${folder}:/usr/bin:/bin`))).toBe(false)
  }
})
