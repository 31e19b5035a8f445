import { writeFile } from 'node:fs/promises'
import { execa } from 'execa'
import { describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../tasks/task-fixture.ts'
import { agentInput, agentTask, playedTurn } from './agent-fixture.ts'
import type { Agent, AgentSpec, AgentTask, Decision } from './agent.ts'
import { loadAgent } from './load-agent.ts'

function load(kind: AgentSpec['kind'], args: Record<string, string> = {}): Promise<Agent> {
  const readBundle = () => Promise.reject(new Error('no bundle is expected to be read'))
  return loadAgent({ kind, label: kind, args }, { env: {}, readBundle, cacheDirectory: '/nowhere' })
}

/** Every decision of an agent whose calls all succeed, up to and with the one that ends it. */
async function play(agent: Agent, task: AgentTask): Promise<Decision[]> {
  const decisions: Decision[] = []
  for (;;) {
    const transcript = decisions.map((decision, number) => playedTurn(number, decision))
    const decision = await agent.next(agentInput({ task, transcript }))
    decisions.push(decision)
    if ('done' in decision || decisions.length > 20) return decisions
  }
}

function commandOf(decision: Decision | undefined, call: number): string {
  const calls = decision && 'calls' in decision ? decision.calls : []
  const command = calls[call]?.args['command']
  return typeof command === 'string' ? command : ''
}

const turnsYaml = `
turns:
  - message: First.
    mode: parallel
    calls:
      - { tool: bash, args: { command: ls }, timeout_ms: 5000 }
      - { tool: list_files }
  - stop_on_error: true
    calls: [{ tool: submit, args: {} }]
`
const turns: Decision[] = [
  {
    message: 'First.',
    mode: 'parallel',
    calls: [
      { tool: 'bash', args: { command: 'ls' }, timeoutMs: 5000 },
      { tool: 'list_files', args: {} },
    ],
  },
  { stopOnError: true, calls: [{ tool: 'submit', args: {} }] },
]

test('nop is done at once', async () => {
  expect(await play(await load('nop'), agentTask())).toEqual([{ done: true, reason: 'does nothing' }])
})

describe('oracle', () => {
  const solution = { 'solution/solve.sh': '#!/bin/bash\n', 'solution/data.txt': '' }

  test('uploads the solution and runs solve.sh in one call for as long as the agent may work', async () => {
    const oracle = await load('oracle')
    const task = agentTask(solution, { timeoutMs: 90_000 })
    expect(oracle.uploads?.(task)).toEqual([{ from: 'solution', to: '/solution' }])
    const [run, end] = await play(oracle, task)
    expect(run).toMatchObject({ calls: [{ tool: 'bash', timeoutMs: 90_000 }] })
    expect(end).toEqual({ done: true, reason: 'solve.sh exited with 0' })
  })

  test('the solution’s environment reaches it whatever its values hold', async () => {
    const solutionEnv = { QUOTES: `it's "$HOME" \`id\` \\ \n`, EMPTY: '' }
    const [start] = await play(await load('oracle'), agentTask(solution, { solutionEnv }))
    const printing = commandOf(start, 0).replace(
      '/solution/solve.sh',
      'printf "%s|" "$DEBIAN_FRONTEND" "$QUOTES" "$EMPTY"',
    )
    const { stdout } = await execa('bash', ['-c', printing], { stripFinalNewline: false })
    expect(stdout).toBe(`noninteractive|${solutionEnv.QUOTES}||`)
  })

  test('plays the task’s own turns where there is no solve.sh, with the solution uploaded', async () => {
    const oracle = await load('oracle')
    const task = agentTask({ 'solution/turns.yaml': turnsYaml })
    expect(oracle.uploads?.(task)).toEqual([{ from: 'solution', to: '/solution' }])
    expect(await play(oracle, task)).toEqual([...turns, { done: true, reason: 'all turns are played' }])
  })

  test('a task without a solution is named before anything starts', async () => {
    const oracle = await load('oracle')
    expect(await oracle.check?.(agentTask())).toEqual([
      'Task a-task has no solution: the oracle needs solution/solve.sh or solution/turns.yaml',
    ])
    expect(await oracle.check?.(agentTask(solution))).toEqual([])
    expect(await oracle.check?.(agentTask({ 'solution/turns.yaml': 'turns: 1' }))).toEqual([
      expect.stringContaining('a-task/solution/turns.yaml is not a list of turns'),
    ])
  })
})

describe('script', () => {
  test('plays the turns of its file, one per decision', async () => {
    const script = await load('script', { file: turnsYaml })
    expect(await play(script, agentTask())).toEqual([...turns, { done: true, reason: 'all turns are played' }])
    expect(await script.check?.(agentTask())).toEqual([])
  })

  test('plays the task’s own turns without a file, and names a task that has none', async () => {
    const script = await load('script')
    expect(await play(script, agentTask({ 'solution/turns.yaml': turnsYaml }))).toHaveLength(3)
    expect(await script.check?.(agentTask())).toEqual([
      expect.stringContaining('Agent script has no turns for task a-task'),
    ])
    await expect(script.next(agentInput())).rejects.toMatchObject({ code: 'agent-invalid' })
  })

  test.each([
    ['turns: [', '--agent-arg file:1 is not valid YAML'],
    ['', '--agent-arg file is not a list of turns: file: '],
    ['turns: []', 'turns: Too small'],
    ['turns: [{ calls: [{ args: {} }] }]', 'turns.0.calls.0.tool: '],
    ['turns: [{ calls: [{ tool: bash, timeout: 5 }] }]', 'Unrecognized key: "timeout"'],
    ['turns: [{ calls: [], mode: both }]', 'turns.0.mode: '],
    ['turns: [{ calls: [{ tool: bash, timeout_ms: 0 }] }]', 'turns.0.calls.0.timeout_ms: '],
  ])('%j is refused in one sentence', async (file, message) => {
    await expect(load('script', { file })).rejects.toMatchObject({
      code: 'agent-invalid',
      message: expect.stringContaining(message),
    })
  })
})

describe('command', () => {
  const instruction = `Say "hi" to $USER.\nIt's \`fun\`.`

  test('writes the instruction into a file, then runs the program in one call', async () => {
    const agent = await load('command', { command: 'my-agent --go', install: 'install-it' })
    expect(agent.layerScript).toBe('install-it')
    const [start, end] = await play(agent, agentTask({}, { instruction, timeoutMs: 60_000 }))
    expect(start).toMatchObject({
      stopOnError: true,
      calls: [
        { tool: 'write_file', args: { path: '/logs/agent/instruction.md', content: instruction } },
        { tool: 'bash', args: { command: expect.stringMatching(/\nmy-agent --go$/) }, timeoutMs: 60_000 },
      ],
    })
    expect(end).toEqual({ done: true, reason: 'the command exited 0' })
  })

  test.each([
    [instruction, instruction],
    ['x'.repeat(100_001), ''],
  ])('the program finds the instruction in a variable, unless it is too long for one', async (text, variable) => {
    const command = 'printf "%s" "$ROLLCALL_INSTRUCTION"; cmp "$ROLLCALL_INSTRUCTION_FILE" <(cat)'
    const [start] = await play(await load('command', { command }), agentTask())
    const file = `${await temporaryDirectory()}/instruction.md`
    await writeFile(file, text)
    const script = commandOf(start, 1).replaceAll('/logs/agent/instruction.md', file)
    const { stdout } = await execa('bash', ['-c', script], { input: text })
    expect(stdout).toBe(variable)
  })
})
