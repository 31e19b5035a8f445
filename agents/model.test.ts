import { inspect } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { agentInput, agentTask, playedTurn } from './agent-fixture.ts'
import type { Agent, AgentInput, Decision } from './agent.ts'
import { loadAgent } from './load-agent.ts'
import { answerWith, chatAnswer, cutAnswer, messagesAnswer, startModelServer } from './model-server-fixture.ts'
import type { ModelServer, ScriptedAnswer } from './model-server-fixture.ts'

const servers: ModelServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

const paths = { openai: '/v1', anthropic: '', 'openai-compatible': '/v1' } as const

async function modelAgent(
  answers: readonly ScriptedAnswer[],
  options: { provider?: keyof typeof paths; args?: Record<string, string> } = {},
): Promise<{ agent: Agent; server: ModelServer }> {
  const { provider = 'openai', args = {} } = options
  const server = await startModelServer(answers)
  servers.push(server)
  const prefix = provider.toUpperCase().replaceAll('-', '_')
  const env = { [`${prefix}_API_KEY`]: 'key-of-a-test', [`${prefix}_BASE_URL`]: `${server.url}${paths[provider]}` }
  const spec = { kind: 'model' as const, label: 'model', args, model: `${provider}/a-model` }
  return { agent: await loadAgent(spec, { env, readBundle: neverRead, cacheDirectory: '/nowhere' }), server }
}

const neverRead = () => Promise.reject(new Error('no bundle is expected to be read'))

const ask = async (answers: readonly ScriptedAnswer[], input: Partial<AgentInput> = {}): Promise<Decision> =>
  (await modelAgent(answers)).agent.next(agentInput(input))

const firstTurn: Decision = {
  message: 'I look.',
  calls: [
    { tool: 'bash', args: { command: 'ls' }, callId: 'call-a' },
    { tool: 'bash', args: { command: 'true' }, callId: 'call-b' },
  ],
}

describe('a model that speaks OpenAI’s chat protocol', () => {
  test('its tool calls become a turn, with what it said and what it used', async () => {
    const toolCalls = [
      { id: 'call-a', name: 'bash', args: { command: 'ls' } },
      { id: 'call-b', name: 'bash', args: { command: 'true' } },
    ]
    expect(await ask([answerWith(chatAnswer({ text: 'I look.', toolCalls }))])).toEqual({
      ...firstTurn,
      mode: 'sequence',
      usage: { inputTokens: 100, outputTokens: 20, cachedInputTokens: 60 },
    })
  })

  test('one turn is one request, with instruction, tools, model name and key', async () => {
    const { agent, server } = await modelAgent([answerWith(chatAnswer({ text: 'Done.' }))])
    await agent.next(agentInput())
    expect(server.requests).toHaveLength(1)
    const [request] = server.requests
    expect(request?.path).toBe('/v1/chat/completions')
    expect(request?.headers.authorization).toBe('Bearer key-of-a-test')
    expect(request?.body).toMatchObject({
      model: 'a-model',
      messages: [
        { role: 'system', content: expect.stringContaining('Commands start in /app') },
        { role: 'user', content: 'Do it.' },
      ],
      tools: [
        { type: 'function', function: { name: 'bash', parameters: { required: ['command'] } } },
        { type: 'function', function: { name: 'submit' } },
      ],
    })
  })

  test('the conversation is rebuilt from the transcript alone', async () => {
    const { agent, server } = await modelAgent([answerWith(chatAnswer({ text: 'Done.' }))])
    await agent.next(agentInput({ transcript: [playedTurn(0, firstTurn, ['a.txt', ''])] }))
    expect(server.requests[0]?.body['messages']).toMatchObject([
      { role: 'system' },
      { role: 'user', content: 'Do it.' },
      {
        role: 'assistant',
        content: 'I look.',
        tool_calls: [
          { id: 'call-a', function: { name: 'bash', arguments: '{"command":"ls"}' } },
          { id: 'call-b', function: { name: 'bash', arguments: '{"command":"true"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'call-a', content: 'a.txt' },
      { role: 'tool', tool_call_id: 'call-b', content: '(no output)' },
    ])
  })

  test('an answer without a tool call means done', async () => {
    expect(await ask([answerWith(chatAnswer({ text: 'Done.' }))])).toMatchObject({
      done: true,
      message: 'Done.',
      usage: { inputTokens: 100, outputTokens: 20 },
    })
  })

  test('after submit it is done without being asked again', async () => {
    const { agent, server } = await modelAgent([answerWith(chatAnswer({}))])
    const submitted = { tool: 'submit', ok: true, output: '', outcome: 'exited' as const, submitted: true as const }
    const turn = { number: 0, decision: { calls: [{ tool: 'submit', args: {} }] }, results: [submitted] }
    expect(await agent.next(agentInput({ transcript: [turn] }))).toMatchObject({ done: true, reason: 'submitted' })
    expect(server.requests).toEqual([])
  })

  test('an answer that was cut at the output limit is not done: the model is asked to go on', async () => {
    const cut = chatAnswer({ text: 'First I', finishReason: 'length' })
    const { agent, server } = await modelAgent([answerWith(cut), answerWith(chatAnswer({ text: 'Done.' }))])
    const decision = await agent.next(agentInput())
    expect(decision).toMatchObject({ message: 'First I', calls: [] })
    await agent.next(agentInput({ transcript: [playedTurn(0, decision)] }))
    expect(server.requests[1]?.body['messages']).toMatchObject([
      { role: 'system' },
      { role: 'user' },
      { role: 'assistant', content: 'First I' },
      { role: 'user', content: expect.stringContaining('Go on') },
    ])
  })

  test('arguments that are no JSON object reach the tool, which refuses them, and do not end the rollout', async () => {
    const toolCalls = [
      { id: 'call-a', name: 'bash', args: '{"command": ' },
      { id: 'call-b', name: 'no_such_tool', args: {} },
    ]
    const decision = await ask([answerWith(chatAnswer({ toolCalls }))])
    expect(decision).toMatchObject({
      calls: [
        { tool: 'bash', args: { 'not an object': '{"command": ' }, callId: 'call-a' },
        { tool: 'no_such_tool', args: {}, callId: 'call-b' },
      ],
    })
  })

  test('arguments of the agent replace the system prompt and set the sampling', async () => {
    const args = { system: 'Be brief.', temperature: '0.5', 'max-output-tokens': '99' }
    const { agent, server } = await modelAgent([answerWith(chatAnswer({ text: 'Done.' }))], { args })
    await agent.next(agentInput())
    expect(server.requests[0]?.body).toMatchObject({
      messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user' }],
      temperature: 0.5,
      max_tokens: 99,
    })
  })
})

describe('a model that does not answer', () => {
  const failure = { error: { message: 'try again', type: 'server_error' } }

  test.each([
    [{ 'retry-after': '7' }, 7_000],
    [{ 'retry-after-ms': '250' }, 250],
    [{}, undefined],
  ])('429 with %j is asked again after %s ms, and not here', async (headers, retryAfterMs) => {
    const { agent, server } = await modelAgent([answerWith(failure, 429, headers)])
    await expect(agent.next(agentInput())).rejects.toMatchObject({ code: 'model-unavailable', retryAfterMs })
    expect(server.requests).toHaveLength(1)
  })

  test('a retry-after that is a date is the time until then', async () => {
    const date = new Date(Date.now() + 60_000).toUTCString()
    const error = await ask([answerWith(failure, 503, { 'retry-after': date })]).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'model-unavailable', retryAfterMs: expect.any(Number) })
    const { retryAfterMs } = error as { retryAfterMs: number }
    expect(retryAfterMs).toBeGreaterThan(50_000)
    expect(retryAfterMs).toBeLessThanOrEqual(60_000)
  })

  test.each([500, 502, 503, 529, 408])('HTTP %i is model-unavailable', async (status) => {
    await expect(ask([answerWith(failure, status)])).rejects.toMatchObject({
      code: 'model-unavailable',
      message: `Model openai/a-model does not answer: HTTP ${status}: try again`,
    })
  })

  test.each([401, 503])('a key that the service repeats with HTTP %i is nowhere in the error', async (status) => {
    const answer = answerWith({ error: { message: 'Incorrect API key provided: key-of-a-test' } }, status)
    const error: unknown = await ask([answer]).catch((reason: unknown) => reason)
    expect(String(error)).toContain('Incorrect API key provided: …')
    expect(inspect(error)).not.toContain('key-of-a-test')
  })

  test.each([400, 401, 403, 404, 422])('HTTP %i is model-rejected', async (status) => {
    await expect(ask([answerWith(failure, status)])).rejects.toMatchObject({
      code: 'model-rejected',
      message: `Model openai/a-model refuses the request: HTTP ${status}: try again`,
    })
  })

  test.each<[string, ScriptedAnswer]>([
    ['an answer that is cut on its way', cutAnswer(chatAnswer({ text: 'x'.repeat(1000) }))],
    ['a connection that is closed without an answer', (response) => response.destroy()],
    ['an empty answer', (response) => response.end()],
    ['an answer that is no JSON', (response) => response.end('<html>')],
    ['an answer of another shape', answerWith({ choices: 'none' })],
    ['a service that says error in the answer', answerWith(chatAnswer({ finishReason: 'error' }))],
  ])('%s is model-unavailable', async (_, answer) => {
    await expect(ask([answer])).rejects.toMatchObject({ code: 'model-unavailable' })
  })

  test('nobody listening is model-unavailable', async () => {
    const { agent, server } = await modelAgent([])
    await server.close()
    await expect(agent.next(agentInput())).rejects.toMatchObject({ code: 'model-unavailable' })
  })

  test('an abort while waiting throws the signal’s reason', async () => {
    const abort = new AbortController()
    const { agent } = await modelAgent([() => abort.abort(new Error('handed over'))])
    await expect(agent.next(agentInput({ signal: abort.signal }))).rejects.toThrow('handed over')
  })
})

test('a model that speaks Anthropic’s messages protocol works the same', async () => {
  const toolCalls = [{ id: 'call-a', name: 'bash', args: { command: 'ls' } }]
  const answers = [
    answerWith(messagesAnswer({ text: 'I look.', toolCalls })),
    answerWith(messagesAnswer({ text: 'Done.' })),
  ]
  const { agent, server } = await modelAgent(answers, { provider: 'anthropic' })
  const decision = await agent.next(agentInput())
  expect(decision).toMatchObject({
    message: 'I look.',
    calls: [{ tool: 'bash', args: { command: 'ls' }, callId: 'call-a' }],
    usage: { inputTokens: 100, outputTokens: 20, cachedInputTokens: 60 },
  })
  expect(await agent.next(agentInput({ transcript: [playedTurn(0, decision, ['a.txt'])] }))).toMatchObject({
    done: true,
  })
  expect(server.requests[0]?.path).toBe('/v1/messages')
  expect(server.requests[0]?.headers['x-api-key']).toBe('key-of-a-test')
  expect(server.requests[0]?.body['max_tokens']).toBe(16_000)
  expect(server.requests[1]?.body['messages']).toMatchObject([
    { role: 'user' },
    {
      role: 'assistant',
      content: [
        { type: 'text', text: 'I look.' },
        { type: 'tool_use', id: 'call-a', name: 'bash', input: { command: 'ls' } },
      ],
    },
    {
      role: 'user',
      content: [{ type: 'tool_result', tool_use_id: 'call-a', cache_control: { type: 'ephemeral' } }],
    },
  ])
})

test('an overloaded Anthropic service is model-unavailable with its retry-after', async () => {
  const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }
  const { agent } = await modelAgent([answerWith(overloaded, 529, { 'retry-after': '3' })], { provider: 'anthropic' })
  await expect(agent.next(agentInput())).rejects.toMatchObject({ code: 'model-unavailable', retryAfterMs: 3_000 })
})

test('a server compatible with OpenAI works the same', async () => {
  const toolCalls = [{ id: 'call-a', name: 'bash', args: { command: 'ls' } }]
  const { agent, server } = await modelAgent([answerWith(chatAnswer({ toolCalls }))], { provider: 'openai-compatible' })
  const decision = await agent.next(agentInput({ task: agentTask({}, { instruction: 'Other.' }) }))
  expect(decision).toMatchObject({ calls: [{ tool: 'bash' }], usage: { inputTokens: 100, outputTokens: 20 } })
  expect(server.requests[0]).toMatchObject({
    path: '/v1/chat/completions',
    headers: { authorization: 'Bearer key-of-a-test' },
  })
})

test.each([
  ['openai/m', {}, 'secret-missing', 'OPENAI_API_KEY is missing'],
  ['anthropic/m', { ANTHROPIC_API_KEY: '' }, 'secret-missing', 'ANTHROPIC_API_KEY is missing'],
  ['openai-compatible/m', {}, 'configuration-invalid', 'OPENAI_COMPATIBLE_BASE_URL is missing'],
  ['openai/m', { OPENAI_API_KEY: 'k', OPENAI_BASE_URL: 'here' }, 'configuration-invalid', 'OPENAI_BASE_URL is "here"'],
  ['other/m', {}, 'configuration-invalid', '--model is "other/m": expected openai/<model>'],
])('%s with %j is refused while planning as %s', async (model, env, code, message) => {
  const spec = { kind: 'model' as const, label: 'model', args: {}, model }
  const loaded = loadAgent(spec, { env, readBundle: neverRead, cacheDirectory: '/nowhere' })
  await expect(loaded).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
})

describe('images that tools have shown', () => {
  const turn = {
    number: 0,
    decision: { calls: [{ tool: 'view_image', args: { path: 'f.png' }, callId: 'call-a' }] },
    results: [
      {
        tool: 'view_image',
        ok: true,
        outcome: 'exited' as const,
        output: '[f.png]',
        images: [{ key: 'images/1', mediaType: 'image/png', bytes: 3 }],
      },
    ],
  }
  const input = { transcript: [turn], readImage: async () => Buffer.from([1, 2, 3]) }

  test('reach a model that takes images, after the result that they belong to', async () => {
    const { agent, server } = await modelAgent([answerWith(chatAnswer({ text: 'Done.' }))])
    expect(agent.blind).toBeUndefined()
    await agent.next(agentInput(input))
    expect(JSON.stringify(server.requests[0]?.body['messages'])).toContain('data:image/png;base64,AQID')
  })

  test('are only named to a model that takes none, which says so of itself', async () => {
    const answers = [answerWith(chatAnswer({ text: 'Done.' }))]
    const { agent, server } = await modelAgent(answers, { provider: 'openai-compatible' })
    expect(agent.blind).toBe('Model openai-compatible/a-model')
    await agent.next(agentInput(input))
    const sent = JSON.stringify(server.requests[0]?.body['messages'])
    expect(sent).toContain('an image of view_image, which is not shown here')
    expect(sent).not.toContain('base64')
    const told = await modelAgent(answers, { provider: 'openai-compatible', args: { images: 'true' } })
    expect(told.agent.blind).toBeUndefined()
  })
})
