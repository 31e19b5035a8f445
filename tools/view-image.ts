import { z } from 'zod'
import { notRead, pathArgument, readWhole } from './file-tools.ts'
import { builtInTool, failed, succeeded } from './tool.ts'

/** What services take of one image at most. */
const longestImageBytes = 5 * 1024 * 1024

const beginnings: readonly (readonly [mediaType: string, at: number, bytes: Buffer])[] = [
  ['image/png', 0, Buffer.from('89504e470d0a1a0a', 'hex')],
  ['image/jpeg', 0, Buffer.from('ffd8ff', 'hex')],
  ['image/gif', 0, Buffer.from('GIF8')],
  ['image/webp', 8, Buffer.from('WEBP')],
]

export const viewImageTool = builtInTool({
  name: 'view_image',
  description: 'Shows an image file (PNG, JPEG, GIF or WebP, at most 5 MiB).',
  arguments: z.strictObject({ path: pathArgument }),
  run: async ({ path }, context) => {
    const file = await readWhole(context, path)
    if (file.type !== 'read') return notRead(file, path, context)
    const { content } = file
    const mediaType = beginnings.find(([, at, bytes]) => content.subarray(at, at + bytes.length).equals(bytes))?.[0]
    if (mediaType === undefined) return failed(`${path} is no image: expected a PNG, JPEG, GIF or WebP file`)
    if (content.length > longestImageBytes) return failed(`${path} has more than 5 MiB: make a smaller copy of it`)
    if (context.keepImage === undefined) return failed('Images cannot be shown here')
    const key = await context.keepImage({ id: context.execId(0), bytes: content, mediaType })
    const images = [{ key, mediaType, bytes: content.length }]
    return { ...succeeded(`[${path}: ${mediaType}, ${content.length} bytes]`), images }
  },
})
