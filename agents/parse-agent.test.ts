import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { agentSpecSchema } from '../protocol/job.ts'
import { temporaryDirectory } from '../tasks/task-fixture.ts'
import { parseAgent } from './parse-agent.ts'
import type { AgentRequest } from './parse-agent.ts'

const refusal = (request: Omit<AgentRequest, 'directory'>, directory = '/nowhere'): Promise<string> =>
  parseAgent({ ...request, directory }).then(
    () => 'accepted',
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  )

describe('an agent as a user names it', () => {
  test.each<[Omit<AgentRequest, 'directory'>, string]>([
    [{ agent: 'oracle' }, 'oracle'],
    [{ agent: 'nop', label: 'Nothing at all' }, 'nothing-at-all'],
    [{ agent: 'model', model: 'openai/GPT-5.1' }, 'model-openai-gpt-5-1'],
    [{ agent: 'command', args: { command: 'true' } }, 'command'],
  ])('%j gets the label %s', async (request, label) => {
    const { spec } = await parseAgent({ ...request, directory: '/nowhere' })
    expect(spec.label).toBe(label)
    expect(agentSpecSchema.parse(spec)).toEqual(spec)
  })

  test('long model names that begin alike get different labels', async () => {
    const label = async (end: string) => {
      const model = `openai/${'long'.repeat(20)}-${end}`
      return (await parseAgent({ agent: 'model', model, directory: '/nowhere' })).spec.label
    }
    expect(await label('a')).toMatch(/^model-openai-longlonglonglonglong-?[a-z]*-[0-9a-f]{6}$/)
    expect(await label('a')).toHaveLength(40)
    expect(await label('a')).not.toBe(await label('b'))
  })

  test('arguments that name files carry their content', async () => {
    const directory = await temporaryDirectory()
    await writeFile(join(directory, 'turns.yaml'), 'turns: [{ calls: [] }]')
    await writeFile(join(directory, 'install.sh'), 'echo installed')
    const script = await parseAgent({ agent: 'script', args: { file: 'turns.yaml' }, directory })
    expect(script.spec.args).toEqual({ file: 'turns: [{ calls: [] }]' })
    const command = await parseAgent({ agent: 'command', args: { command: '@@go', install: '@install.sh' }, directory })
    expect(command.spec.args).toEqual({ command: '@go', install: 'echo installed' })
  })

  test.each<[Omit<AgentRequest, 'directory'>, string]>([
    [{ agent: 'orcale' }, '--agent is "orcale": expected oracle, nop, script, command, model, or a file as'],
    [{ agent: 'oracle', args: { fast: '1' } }, '--agent-arg is fast: agent oracle takes no arguments'],
    [{ agent: 'script', args: { fiel: 'x' } }, '--agent-arg is fiel: agent script takes file'],
    [
      { agent: 'script', args: { file: 'none.yaml' } },
      '--agent-arg file is /nowhere/none.yaml: expected a readable file',
    ],
    [{ agent: 'nop', model: 'openai/m' }, '--model is openai/m: agent nop uses no model'],
    [{ agent: 'model' }, '--model is missing: agent model needs one'],
    [{ agent: 'model', model: 'gpt' }, '--model is "gpt": expected openai/<model>, anthropic/<model>'],
    [
      { agent: 'model', model: 'openai/m', args: { temperature: 'hot' } },
      '--agent-arg of agent model is wrong: temperature',
    ],
    [{ agent: 'command' }, '--agent-arg command is missing'],
    [
      { agent: './a.ts#x', model: 'openai/m' },
      '--model is openai/m: an agent in TypeScript gets it as --agent-arg model=openai/m',
    ],
    [{ agent: 'nop', label: '--' }, 'label is "--": expected letters and digits'],
  ])('%j is refused in one sentence', async (request, message) => {
    expect(await refusal(request)).toContain(
      `configuration-invalid: ${message.startsWith('--agent-arg model') ? '--model' : message}`,
    )
    expect(await refusal(request)).toContain(message)
  })

  test('turns that cannot be played are refused before anything starts', async () => {
    const directory = await temporaryDirectory()
    await writeFile(join(directory, 'turns.yaml'), 'turns: 5')
    expect(await refusal({ agent: 'script', args: { file: 'turns.yaml' } }, directory)).toContain('agent-invalid: ')
  })
})
