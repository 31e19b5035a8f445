import { describe, expect, test } from 'vitest'
import { expandTemplate, hostVariables, malformedTemplates, splitEnv } from './host-templates.ts'

describe('templates in env tables', () => {
  test('a value names the variables that it takes, with what stands for them', () => {
    expect(hostVariables('https://${USER_NAME}:${TOKEN:-none}@host')).toEqual([
      { name: 'USER_NAME' },
      { name: 'TOKEN', fallback: 'none' },
    ])
    expect(hostVariables('$PLAIN {NOT} ${}')).toEqual([])
  })

  test.each([
    ['${A}', { A: 'x' }, 'x'],
    ['<${A}>${A}', { A: 'x' }, '<x>x'],
    ['${A:-none}', {}, 'none'],
    ['${A:-none}', { A: '' }, 'none'],
    ['${A:-}', {}, ''],
    ['${A}', { A: '' }, ''],
    ['${A}', {}, undefined],
    ['${A:-$B}', { A: '${B}', B: 'deep' }, '${B}'],
  ] as const)('%s with %o is %s', (value, host, expected) => {
    expect(expandTemplate(value, host)).toBe(expected)
  })

  test('what looks like a template and is none is found', () => {
    expect(malformedTemplates('${A} ${A-b} ${1X} ${A:?gone}')).toEqual(['${A-b}', '${1X}', '${A:?gone}'])
    expect(malformedTemplates('${A:-${B}}')).toEqual(['${A:-${B}'])
  })

  test('plain values are kept apart from those of the host', () => {
    expect(splitEnv({ A: '1', B: '${B}' })).toEqual({ plain: { A: '1' }, fromHost: { B: '${B}' } })
  })
})
