import { access, glob, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const top = 'activities agents bench cli client deploy docs examples grading protocol providers results runner scripts'
const folders = `${top} store tasks testing tools workers workflows`.split(' ')

const pages: string[] = []
for await (const path of glob('{*.md,{docs,deploy,runner}/**/*.md}', { cwd: root })) pages.push(path)

/** Targets of relative links, without their anchors. */
function linksOf(text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target]) => target ?? [])
  return targets.filter((target) => !/^([a-z]+:|#)/.test(target)).map((target) => target.replace(/#.*$/, ''))
}

/** Files of the repository that are named in code marks: `workflows/job.ts`. Globs and placeholders are not files. */
function filesNamedIn(text: string): string[] {
  const named = [...text.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|sh|yml|yaml|md|json))`/g)].flatMap(
    ([, path]) => path ?? [],
  )
  return named.filter((path) => folders.includes(path.split('/')[0] ?? ''))
}

async function missing(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  )
  return paths.filter((_, index) => !found[index]).map((path) => relative(root, path))
}

test.each(pages)('every link and file that %s names is there', async (page) => {
  const text = await readFile(join(root, page), 'utf8')
  const links = linksOf(text).map((target) => join(root, dirname(page), target))
  const files = filesNamedIn(text).map((path) => join(root, path))
  expect(await missing([...links, ...files])).toEqual([])
})

/** Anchors of a page's headings, as GitHub makes them. */
function anchorsOf(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].flatMap(([, heading]) => heading ?? [])
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

test.each(pages)('every anchor that %s links to is a heading', async (page) => {
  const links = [...(await readFile(join(root, page), 'utf8')).matchAll(/\]\(([^)\s:]*)#([^)\s]+)\)/g)]
  const broken: string[] = []
  for (const [, target = '', anchor = ''] of links) {
    const path = target === '' ? page : join(dirname(page), target)
    const anchors = anchorsOf(await readFile(join(root, path), 'utf8').catch(() => ''))
    if (!anchors.includes(anchor)) broken.push(`${target}#${anchor}`)
  }
  expect(broken).toEqual([])
})

test('the pages are found', () => {
  expect(pages).toEqual(expect.arrayContaining(['README.md', 'docs/architecture.md', 'docs/failures.md']))
})
