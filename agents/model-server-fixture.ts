import { createServer } from 'node:http'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

export interface ReceivedRequest {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Record<string, unknown>
}

/** What the server does with one request. */
export type ScriptedAnswer = (response: ServerResponse, request: ReceivedRequest) => void

export interface ModelServer {
  /** `http://127.0.0.1:<port>`, without a path. */
  readonly url: string
  readonly requests: readonly ReceivedRequest[]
  close(): Promise<void>
}

/** For tests: a service on the loopback interface that gives one answer after the other; the last one again and again. */
export async function startModelServer(answers: readonly ScriptedAnswer[]): Promise<ModelServer> {
  const requests: ReceivedRequest[] = []
  const server = createServer((incoming, response) => {
    void json(incoming).then((body) => {
      const request = { path: incoming.url ?? '', headers: incoming.headers, body: body as Record<string, unknown> }
      requests.push(request)
      answers[Math.min(requests.length, answers.length) - 1]?.(response, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export function answerWith(body: unknown, status = 200, headers: Record<string, string> = {}): ScriptedAnswer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body))
  }
}

/** Sends half of the answer and cuts the connection. */
export function cutAnswer(body: unknown): ScriptedAnswer {
  const text = JSON.stringify(body)
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(text.length) })
    response.write(text.slice(0, text.length / 2), () => response.destroy())
  }
}

export interface ToolCallAnswer {
  readonly id: string
  readonly name: string
  /** A text stands for itself: arguments that are no JSON. */
  readonly args: unknown
}

/** An answer in OpenAI's chat protocol. */
export function chatAnswer(answer: { text?: string; toolCalls?: readonly ToolCallAnswer[]; finishReason?: string }) {
  const toolCalls = answer.toolCalls?.map(({ id, name, args }) => ({
    id,
    type: 'function',
    function: { name, arguments: typeof args === 'string' ? args : JSON.stringify(args) },
  }))
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'a-model',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: answer.text ?? null, ...(toolCalls ? { tool_calls: toolCalls } : {}) },
        finish_reason: answer.finishReason ?? (toolCalls ? 'tool_calls' : 'stop'),
      },
    ],
    usage: {
      prompt_tokens: 100,
      completion_tokens: 20,
      total_tokens: 120,
      prompt_tokens_details: { cached_tokens: 60 },
    },
  }
}

/** An answer in Anthropic's messages protocol. */
export function messagesAnswer(answer: { text?: string; toolCalls?: readonly ToolCallAnswer[] }) {
  const toolCalls = answer.toolCalls ?? []
  return {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'a-model',
    content: [
      ...(answer.text === undefined ? [] : [{ type: 'text', text: answer.text }]),
      ...toolCalls.map(({ id, name, args }) => ({ type: 'tool_use', id, name, input: args })),
    ],
    stop_reason: toolCalls.length > 0 ? 'tool_use' : 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 40, output_tokens: 20, cache_read_input_tokens: 60, cache_creation_input_tokens: 0 },
  }
}
