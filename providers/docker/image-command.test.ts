import { expect, test } from 'vitest'
import { imageCommand } from './image-command.ts'

const image = { id: 'sha256:0', workdir: '/' }

test('an image without a command starts nothing', () => {
  expect(imageCommand({ ...image, command: [] })).toBeUndefined()
})

test.each([undefined, 'root', '0', '0:0'])('an image of user %s runs its command as it is', (user) => {
  expect(imageCommand({ ...image, command: ['a', 'b c'], ...(user !== undefined && { user }) })).toEqual(['a', 'b c'])
})

test('an image of another user has its command started as that user', () => {
  const command = imageCommand({ ...image, command: ['a', 'b c'], user: 'agent:staff' })
  expect(command?.slice(0, 2)).toEqual(['sh', '-c'])
  expect(command?.slice(3)).toEqual(['rollcall', 'agent:staff', 'a', 'b c'])
})
