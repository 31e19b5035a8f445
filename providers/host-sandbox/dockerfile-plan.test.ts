import { describe, expect, test } from 'vitest'
import { planDockerfile } from './dockerfile-plan.ts'

test('the files, directories and variables of a Dockerfile without RUN are planned in order', () => {
  const plan = planDockerfile(
    [
      'ARG VERSION=24.04',
      'FROM ubuntu:${VERSION}',
      '# a comment',
      'ARG NAME=data',
      'ENV A=1 B="two words"',
      'ENV C=$A-${B}',
      'WORKDIR /app',
      'WORKDIR sub\\',
      '/$NAME',
      'COPY --chmod=0755 --chown=root:root a.sh b.sh bin/',
      'COPY ["with space.txt", "/data/x.txt"]',
      'ADD . .',
      'LABEL a=b',
      'EXPOSE 80',
      'USER root',
      'CMD ["bash"]',
      'ENTRYPOINT ["/entry.sh"]',
    ].join('\n'),
  )
  expect(plan.problems).toEqual([])
  expect(plan.from).toBe('ubuntu:24.04')
  expect(plan.env).toEqual({ A: '1', B: 'two words', C: '1-two words' })
  expect(plan.workdir).toBe('/app/sub/data')
  expect(plan.withoutEffect).toEqual(['CMD in line 16', 'ENTRYPOINT in line 17'])
  expect(plan.steps).toEqual([
    { type: 'directory', line: 7, path: '/app' },
    { type: 'directory', line: 8, path: '/app/sub/data' },
    {
      type: 'copy',
      line: 10,
      sources: ['a.sh', 'b.sh'],
      destination: '/app/sub/data/bin',
      intoDirectory: true,
      mode: 0o755,
    },
    { type: 'copy', line: 11, sources: ['with space.txt'], destination: '/data/x.txt', intoDirectory: false },
    { type: 'copy', line: 12, sources: ['.'], destination: '/app/sub/data', intoDirectory: true },
  ])
})

test('values of one ENV line see the variables as they were before it', () => {
  const plan = planDockerfile('FROM x\nENV A=old\nENV A=new B=$A\n')
  expect(plan.env).toEqual({ A: 'new', B: 'old' })
})

test('an ARG before FROM is known in FROM only', () => {
  const plan = planDockerfile('ARG V=1\nFROM a:$V\nENV X=[$V]\n')
  expect(plan.from).toBe('a:1')
  expect(plan.env).toEqual({ X: '[]' })
})

describe('what cannot be honoured is refused with its line, its text and a way out', () => {
  test.each([
    ['RUN apt-get update && apt-get install -y git', /runs nothing while building/],
    ['USER 1000', /no user but root/],
    ['ADD https://example.org/x /x', /fetches nothing/],
    ['ADD data.tar.gz /data', /unpacks no archives/],
    ['COPY --from=builder /x /y', /--from=builder/],
    ['COPY --chown=app:app x /y', /--chown=app:app/],
    ['COPY --chmod=u+x x /y', /--chmod=u\+x/],
    ['COPY <<EOF /x\nhello\nEOF', /here-documents/],
    ['COPY tool /usr/local/bin/tool', /\/usr is the host's own/],
    ['COPY tool /bin/', /\/bin is the host's own/],
    ['WORKDIR /usr/src/app', /\/usr is the host's own/],
    ['FROM second', /one stage only/],
    ['SHELL ["/bin/bash", "-c"]', /runs nothing while building/],
    ['VOLUME /data', /runs nothing while building/],
    ['HEALTHCHECK CMD true', /runs nothing while building/],
    ['ENV A="open', /not closed|needs/],
  ])('%s', (line, reason) => {
    const { problems } = planDockerfile(`FROM a\n\n${line}\nENV OK=1\n`)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatchObject({ field: 'environment/Dockerfile:3' })
    expect(problems[0]?.value).toContain(line.slice(0, 8))
    expect(problems[0]?.expected).toMatch(reason)
    expect(problems[0]?.expected).toMatch(/--provider docker$/)
  })

  test('all of them at once, each with its own line', () => {
    const { problems } = planDockerfile('FROM a\nRUN one \\\n  && two\nCOPY x /x\nRUN three\n')
    expect(problems.map(({ field }) => field)).toEqual(['environment/Dockerfile:2', 'environment/Dockerfile:5'])
  })

  test('an empty file has no FROM', () => {
    expect(planDockerfile('# nothing\n').problems[0]?.expected).toMatch(/FROM/)
  })
})
