import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { RollcallError } from '../protocol/failure.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { describeError } from './describe-error.ts'

const quiet = { debug: false }

test('what the system refuses is no bug: one sentence with the path, and exit code 2', () => {
  const error = Object.assign(new Error("EROFS: read-only file system, mkdir '/state/server/lock'"), {
    code: 'EROFS',
    syscall: 'mkdir',
  })
  expect(describeError(error, quiet)).toEqual({
    message: "This machine does not let Rollcall: EROFS: read-only file system, mkdir '/state/server/lock'",
    exitCode: 2,
  })
})

test('anything else that is not a RollcallError is a bug', async () => {
  const file = join(await temporaryFolder('bug'), 'file')
  await writeFile(file, '')
  const error = await mkdir(file).catch((refused: unknown) => refused)
  expect(describeError(error, quiet)).toMatchObject({ exitCode: 70, message: expect.stringContaining('This is a bug') })
  expect(describeError(new RollcallError('internal', 'oops'), quiet).exitCode).toBe(70)
  expect(describeError(new RollcallError('configuration-invalid', 'wrong'), quiet)).toEqual({
    message: 'wrong',
    exitCode: 2,
  })
})
