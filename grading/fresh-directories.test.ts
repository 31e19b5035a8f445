import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { freshDirectoriesScript } from './fresh-directories.ts'

/** The script on a root of its own that `before` has prepared, then `after`. */
async function fresh(before: string, after: string): Promise<string> {
  const script = `
mount -t tmpfs none /mnt && cd /mnt && mkdir -p usr proc logs tests
for link in bin lib lib64; do [ ! -e /$link ] || ln -s usr/$link $link; done
mount --rbind /usr usr
exec chroot . /bin/sh -c 'cd /; eval "$BEFORE"; eval "$FRESH" && eval "$AFTER"'`
  const env = {
    ...process.env,
    LONG: 'x'.repeat(200),
    BEFORE: before,
    FRESH: freshDirectoriesScript(undefined),
    AFTER: after,
  }
  const { stdout } = await promisify(execFile)(
    'unshare',
    ['--user', '--map-root-user', '--mount', 'sh', '-c', script],
    {
      env,
    },
  )
  return stdout
}

test.each([
  ['files', 'mkdir /logs/verifier; echo 1 >/logs/verifier/reward.txt; echo x >/tests/.hidden; mkdir /tests/..x'],
  ['links to folders', 'mkdir -p /evil/verifier; rmdir /logs /tests; ln -s /evil /logs; ln -s /evil /tests'],
  ['a link in place of the log folder', 'mkdir /evil; echo 1 >/evil/reward.txt; ln -s /evil /logs/verifier'],
  ['files in place of folders', 'rmdir /logs /tests; echo x >/logs; echo x >/tests'],
  [
    'more files than an argument list holds',
    'cd /tests; i=0; while [ $i -lt 20000 ]; do : >"$i$LONG"; i=$((i+1)); done',
  ],
  ['FIFOs in place of folders', 'rmdir /logs /tests; mkfifo /logs /tests'],
])('%s that the agent left are gone', async (_, before) => {
  expect(await fresh(before, 'find -P /logs /tests | sort')).toBe('/logs\n/logs/verifier\n/tests\n')
})

test('a mount point in place of the tests is emptied', async () => {
  const left = await fresh(
    'mount -t tmpfs none /tests; echo x >/tests/x; mkdir /tests/.y',
    'find -P /tests; mountpoint /tests',
  )
  expect(left).toBe('/tests\n/tests is a mountpoint\n')
})

test('a folder that cannot be emptied is not graded in', async () => {
  await expect(fresh('mkdir /tests/.kept; mount -t tmpfs none /tests/.kept', 'true')).rejects.toThrow(
    'cannot remove /tests/.kept',
  )
})

test('whatever mask the image sets, others may read the folders', async () => {
  expect(await fresh('umask 077', 'stat -c %a /logs /logs/verifier /tests')).toBe('755\n'.repeat(3))
})

test('nobody else may put another folder in their place', async () => {
  const modes = await fresh('chmod 777 /logs /tests', 'stat -c %a%u%F /logs /logs/verifier /tests')
  expect(modes).toBe('7550directory\n'.repeat(3))
})
