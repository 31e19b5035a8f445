import { PassThrough, Duplex, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { RollcallError } from '../protocol/failure.ts'
import { openRunner } from './open-runner.ts'
import type { ExecRequest } from './runner.ts'
import { until } from './test-sandbox.ts'

/** The far side of an attachment, played by the test. */
interface FarSide {
  readonly stream: Duplex
  nonce(): Promise<string>
  received(): string
  say(text: string | Buffer): void
}

function farSide(): FarSide {
  const toWorker = new PassThrough()
  let received = ''
  const fromWorker = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      received += chunk.toString('latin1')
      done()
    },
  })
  return {
    stream: Duplex.from({ readable: toWorker, writable: fromWorker }),
    nonce: async () => {
      await until(() => received.includes('\n'), 'the nonce')
      return received.slice(0, received.indexOf('\n'))
    },
    received: () => received,
    say: (text) => void toWorker.write(text),
  }
}

const alive = async () => ({ alive: true }) as const

const request = (call = 0): ExecRequest => ({
  id: { scope: 's', phase: 0, batch: 0, call, part: 0 },
  script: 'true',
  timeoutMs: 1_000,
})

const frame = (nonce: string, name: string, stdout: string, stderr = ''): string =>
  `${nonce} R s ${name} x 0 100 110 0\n${stdout}${nonce} E\n${stderr}${nonce} .\n`

test('frames cut at every byte are put together again', async () => {
  const far = farSide()
  const runner = openRunner({ connect: async () => far.stream, isAlive: alive })
  const result = runner.exec(request())
  const nonce = await far.nonce()
  const near = `${nonce.slice(0, -1)} E\n${nonce}`.slice(0, -1)
  for (const byte of Buffer.from(frame(nonce, '0-0-0-0', near, 'e'))) far.say(Buffer.from([byte]))
  const { stdout, stderr, durationMs } = await result
  expect([stdout.head.toString(), stderr.head.toString(), durationMs]).toEqual([near, 'e', 100])
  runner.close()
})

test('garbage, unknown frames and answers nobody asked for are passed over', async () => {
  const far = farSide()
  const runner = openRunner({ connect: async () => far.stream, isAlive: alive })
  const result = runner.exec(request())
  const nonce = await far.nonce()
  far.say(Buffer.alloc(3_000_000, 'NONCE R s 0-0-0-0 x 0\n\0\xff'))
  far.say(`${nonce} Q what\n${nonce} E\n${nonce} .\n`)
  far.say(frame(nonce, '9-9-9-9', 'stranger'))
  far.say(`${nonce} G 77\n${nonce} E\n${nonce} .\n${frame(nonce, '0-0-0-0', 'mine')}`)
  expect((await result).stdout.head.toString()).toBe('mine')
  runner.close()
})

test.each([
  ['a header without end', (nonce: string) => `${nonce} ${'x'.repeat(10_000)}`],
  ['marks in the wrong order', (nonce: string) => `${nonce} R s 0-0-0-0 x 0 1 2 0\n${nonce} .\n`],
  ['a frame within a frame', (nonce: string) => `${nonce} R s 0-0-0-0 x 0 1 2 0\nout${nonce} R s 0-0-0-0 x 0 1 2 0\n`],
  ['an unknown state', (nonce: string) => frame(nonce, '0-0-0-0', '').replace(' x ', ' ? ')],
  ['a bad number', (nonce: string) => frame(nonce, '0-0-0-0', '').replace(' 100 ', ' -9e99 ')],
])('%s ends the attachment, and the id is asked for on a new one', async (_name, nonsense) => {
  const sides = [farSide(), farSide()]
  let attached = 0
  const connect = async (): Promise<Duplex> => {
    const side = sides[attached]
    attached += 1
    if (side === undefined) throw new Error('Attached too often')
    return side.stream
  }
  const runner = openRunner({ connect, isAlive: alive })
  const result = runner.exec(request())
  sides[0]?.say(nonsense((await sides[0]?.nonce()) ?? ''))
  const nonce = (await sides[1]?.nonce()) ?? ''
  sides[1]?.say(frame(nonce, '0-0-0-0', 'right'))
  expect((await result).stdout.head.toString()).toBe('right')
  expect(attached).toBe(2)
  runner.close()
})

test('a stream that is cut in a frame gives a sink each byte once', async () => {
  const sides = [farSide(), farSide()]
  let attached = 0
  const runner = openRunner({
    connect: async () => sides[attached++]?.stream ?? Promise.reject(new Error('Attached too often')),
    isAlive: alive,
  })
  let sunk = ''
  const stdoutSink = new Writable({ write: (chunk, _encoding, done) => ((sunk += chunk), done()) })
  const result = runner.exec({ ...request(), stdoutSink })
  const first = (await sides[0]?.nonce()) ?? ''
  sides[0]?.say(`${first} R s 0-0-0-0 x 0 1 2 0\n${'one two '.repeat(10)}`)
  await until(() => sunk.length > 40, 'a part of the output')
  sides[0]?.stream.destroy()
  const nonce = (await sides[1]?.nonce()) ?? ''
  sides[1]?.say(frame(nonce, '0-0-0-0', `${'one two '.repeat(10)}three`))
  expect((await result).stdout.bytes).toBe(85)
  expect(sunk).toBe(`${'one two '.repeat(10)}three`)
  expect(stdoutSink.writableFinished).toBe(true)
  runner.close()
})

test('a sink that fails fails its exec and holds up nobody else', async () => {
  const far = farSide()
  const runner = openRunner({ connect: async () => far.stream, isAlive: alive })
  const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error('store is full')) })
  const first = runner.exec({ ...request(0), stdoutSink: broken })
  const second = runner.exec(request(1))
  const nonce = await far.nonce()
  far.say(frame(nonce, '0-0-0-0', 'x'.repeat(500_000)))
  far.say(frame(nonce, '0-0-1-0', 'fine'))
  await expect(first).rejects.toThrow('store is full')
  expect((await second).stdout.head.toString()).toBe('fine')
  runner.close()
})

test('an attachment that does not answer is asked, given up and replaced', async () => {
  const sides = [farSide(), farSide()]
  let attached = 0
  const runner = openRunner({
    connect: async () => sides[attached++]?.stream ?? Promise.reject(new Error('Attached too often')),
    isAlive: alive,
    pingMs: 20,
  })
  const result = runner.exec(request())
  sides[0]?.say('garbage is no answer')
  const nonce = (await sides[1]?.nonce()) ?? ''
  sides[1]?.say(frame(nonce, '0-0-0-0', ''))
  expect((await result).outcome).toEqual({ type: 'exited', code: 0 })
  expect(sides[0]?.received()).toContain('\ng 0\n')
  runner.close()
})

test('a sandbox that is said to be alive and answers on no attachment is lost after a stated time', async () => {
  const connect = vi.fn<() => Promise<Duplex>>(async () => farSide().stream)
  const runner = openRunner({ connect, isAlive: alive, pingMs: 10, silenceMs: 300 })
  const waiting = [runner.exec({ ...request(), timeoutMs: 600_000 }), runner.stop({ scope: 's' })]
  const begun = performance.now()
  const lost = { code: 'sandbox-lost', message: expect.stringContaining('nothing in it answered within 300 ms') }
  for (const promise of waiting) await expect(promise).rejects.toMatchObject(lost)
  expect(performance.now() - begun).toBeGreaterThanOrEqual(300)
  // The pauses between attachments grow.
  expect(connect.mock.calls.length).toBeGreaterThan(3)
  expect(connect.mock.calls.length).toBeLessThan(8)
})

test('an attachment that cannot be opened to a sandbox that is said to be alive is silence, too', async () => {
  const connect = async (): Promise<never> => {
    throw new RollcallError('provider-unavailable', 'The Engine does not answer for this container')
  }
  const runner = openRunner({ connect, isAlive: alive, silenceMs: 300 })
  await expect(runner.exec(request())).rejects.toMatchObject({ code: 'sandbox-lost' })
})

test('a sandbox that is gone is lost at once, with the reason, for everything that waits and comes', async () => {
  const far = farSide()
  const gone = { alive: false, reason: 'its container was removed' } as const
  const isAlive = vi.fn<() => Promise<typeof gone>>(async () => gone)
  const runner = openRunner({ connect: async () => far.stream, isAlive })
  const waiting = [runner.exec(request()), runner.hello(), runner.stop({ scope: 's' })]
  await far.nonce()
  far.stream.destroy()
  const lost = { code: 'sandbox-lost', message: expect.stringContaining('its container was removed') }
  for (const promise of waiting) await expect(promise).rejects.toMatchObject(lost)
  await expect(runner.exec(request(1))).rejects.toMatchObject(lost)
  expect(isAlive).toHaveBeenCalledOnce()
})

test('while the provider cannot be reached the runner goes on trying, until it is told to stop', async () => {
  const refuse = async (): Promise<never> => {
    throw new RollcallError('provider-unavailable', 'connect ECONNREFUSED')
  }
  const connect = vi.fn<() => Promise<never>>(refuse)
  const runner = openRunner({ connect, isAlive: refuse, silenceMs: 1 })
  const stop = new AbortController()
  const result = runner.exec(request(), { signal: stop.signal })
  await until(() => connect.mock.calls.length >= 5, 'five tries')
  stop.abort(new Error('cancelled by the test'))
  await expect(result).rejects.toThrow('cancelled by the test')
  runner.close()
})

test('two callers of the same id get an answer each', async () => {
  const far = farSide()
  const runner = openRunner({ connect: async () => far.stream, isAlive: alive })
  const both = [runner.exec(request()), runner.exec(request())]
  const nonce = await far.nonce()
  far.say(frame(nonce, '0-0-0-0', 'same').repeat(2))
  expect((await Promise.all(both)).map(({ stdout }) => stdout.head.toString())).toEqual(['same', 'same'])
  runner.close()
})

test('a request that cannot be sent fails by itself', async () => {
  const far = farSide()
  const runner = openRunner({ connect: async () => far.stream, isAlive: alive })
  await expect(runner.exec({ ...request(), script: 'a\0b' })).rejects.toMatchObject({ code: 'task-invalid' })
  await expect(runner.exec({ ...request(), env: { 'A=B': '' } })).rejects.toMatchObject({ code: 'task-invalid' })
  runner.close()
})

test('a frame that does not count is an exec whose result was forgotten', async () => {
  const far = farSide()
  const runner = openRunner({ connect: async () => far.stream, isAlive: alive })
  const result = runner.exec(request())
  const nonce = await far.nonce()
  far.say(frame(nonce, '0-0-0-0', 'a part').replace(/ \.\n$/, ' !\n'))
  expect((await result).outcome).toEqual({ type: 'lost', reason: 'acknowledged' })
  runner.close()
})

test('an answer that nobody wants any more holds up nobody else', async () => {
  const sides = [farSide(), farSide()]
  let attached = 0
  const runner = openRunner({
    connect: async () => sides[attached++]?.stream ?? Promise.reject(new Error('Attached too often')),
    isAlive: alive,
  })
  const letGo = new AbortController()
  let sunk = 0
  const stdoutSink = new Writable({ write: (chunk: Buffer, _encoding, done) => ((sunk += chunk.length), done()) })
  const endless = runner.exec({ ...request(0), stdoutSink }, { signal: letGo.signal })
  const waiting = runner.exec(request(1))
  const first = (await sides[0]?.nonce()) ?? ''
  sides[0]?.say(`${first} R s 0-0-0-0 x 0 1 2 0\n${'x'.repeat(1_000)}`)
  await until(() => sunk > 0, 'a part of the endless answer')
  letGo.abort(new Error('nobody waits for it'))
  await expect(endless).rejects.toThrow('nobody waits for it')
  expect(sides[0]?.stream.destroyed).toBe(true)
  const nonce = (await sides[1]?.nonce()) ?? ''
  sides[1]?.say(frame(nonce, '0-0-1-0', 'mine'))
  expect((await waiting).stdout.head.toString()).toBe('mine')
  runner.close()
})

test('a sandbox that answers now and then is not silent, however often its attachments end', async () => {
  const sides: FarSide[] = []
  const connect = async (): Promise<Duplex> => {
    const side = farSide()
    sides.push(side)
    return side.stream
  }
  const runner = openRunner({ connect, isAlive: alive, silenceMs: 20 })
  const result = runner.exec({ ...request(), timeoutMs: 600_000 })
  for (let attachment = 0; attachment < 8; attachment += 1) {
    await until(() => sides.length > attachment, 'the next attachment')
    const side = sides[attachment]
    const nonce = (await side?.nonce()) ?? ''
    if (attachment === 7) side?.say(frame(nonce, '0-0-0-0', 'at last'))
    else side?.say(`${nonce} G 77\n${nonce} E\n${nonce} .\n`)
    await delay(10)
    side?.stream.destroy()
  }
  expect((await result).stdout.head.toString()).toBe('at last')
  runner.close()
})

test('a sandbox that was out of reach meanwhile is not taken for silent by the time that this took', async () => {
  const connect = vi.fn<() => Promise<Duplex>>(() => Promise.reject(new Error('cut')))
  let looks = 0
  const isAlive = async () => {
    looks += 1
    if (looks === 2) throw new RollcallError('provider-unavailable', 'connect ECONNREFUSED')
    return { alive: true } as const
  }
  const runner = openRunner({ connect, isAlive, silenceMs: 60 })
  await expect(runner.exec(request())).rejects.toMatchObject({ code: 'sandbox-lost' })
  expect(looks).toBe(6)
})

test('a sandbox that begins every answer and ends none is lost after a stated time', async () => {
  const connect = async (): Promise<Duplex> => {
    const side = farSide()
    void side.nonce().then((nonce) => side.say(`${nonce} R s 0-0-0-0 x 0 1 2 0\nand`))
    return side.stream
  }
  const runner = openRunner({ connect, isAlive: alive, pingMs: 10, silenceMs: 100 })
  await expect(runner.exec({ ...request(), timeoutMs: 1 })).rejects.toMatchObject({ code: 'sandbox-lost' })
})
