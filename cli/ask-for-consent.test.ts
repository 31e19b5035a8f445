import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { askForConsent } from './ask-for-consent.ts'

const asked = ['HOME', 'TOKEN'].map((name) => ({ name, by: ['a-task'], hasFallback: false }))

/** Asks somebody who answers with a line; returns what is allowed then, and what was shown. */
async function ask(answer: string, { isTTY = true, allowed = [] as readonly string[] } = {}) {
  const stdin = Object.assign(new PassThrough(), { isTTY })
  const stream = new PassThrough()
  const shown = text(stream)
  const stderr = { stream, isTTY, write: (line: string) => void stream.write(line) }
  stdin.end(`${answer}\n`)
  const allowEnv = await askForConsent(asked, allowed, { stdin, stderr })
  stream.end()
  return { allowEnv, shown: await shown }
}

test('whoever sits at a terminal is asked for what nobody has allowed yet', async () => {
  const { allowEnv, shown } = await ask('y', { allowed: ['HOME'] })
  expect(allowEnv).toBe('all')
  expect(shown).toContain('  TOKEN: asked for by a-task\nAllow them? [y/N] ')
  expect(shown).not.toContain('HOME')
  expect((await ask('', { allowed: ['HOME'] })).allowEnv).toEqual(['HOME'])
})

test('elsewhere, and where all is allowed, nobody is asked', async () => {
  expect(await ask('y', { isTTY: false })).toEqual({ allowEnv: [], shown: '' })
  expect(await ask('n', { allowed: ['HOME', 'TOKEN'] })).toEqual({ allowEnv: ['HOME', 'TOKEN'], shown: '' })
})
