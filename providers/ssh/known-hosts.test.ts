import { createHmac, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { fingerprintOf, judgeHostKey, knownHostLine, lookUpHost } from './known-hosts.ts'

const blob = key('ssh-ed25519', 'a')
const other = key('ssh-ed25519', 'b')
const at = { host: 'gpu.example.org', port: 22 }

/** As it goes over the wire: length and name of its type, then whatever it is. */
function key(type: string, content: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(type.length)
  return Buffer.concat([length, Buffer.from(type), Buffer.from(content.repeat(32))])
}

function line(hosts: string, known: Buffer): string {
  return `${hosts} ssh-ed25519 ${known.toString('base64')} somebody@somewhere\n`
}

function hashed(name: string): string {
  const salt = randomBytes(20)
  const hash = createHmac('sha1', salt).update(name).digest('base64')
  return `|1|${salt.toString('base64')}|${hash}`
}

test.each<[string, string, { host: string; port: number }, ReturnType<typeof judgeHostKey>]>([
  ['a host that stands there', line('gpu.example.org', blob), at, 'known'],
  ['one of several names', line('other,gpu.example.org,10.0.0.1', blob), at, 'known'],
  ['whatever the letters’ case', line('GPU.example.org', blob), at, 'known'],
  ['a pattern', line('*.example.org', blob), at, 'known'],
  ['a pattern for one character', line('gp?.example.org', blob), at, 'known'],
  ['a pattern with an exception', line('*.example.org,!gpu.example.org', blob), at, 'unknown'],
  ['a hash of its name', line(hashed('gpu.example.org'), blob), at, 'known'],
  ['a hash of another name', line(hashed('cpu.example.org'), blob), at, 'unknown'],
  ['another port', line('gpu.example.org', blob), { ...at, port: 2222 }, 'unknown'],
  ['its own port', line('[gpu.example.org]:2222', blob), { ...at, port: 2222 }, 'known'],
  ['a hash with its port', line(hashed('[gpu.example.org]:2222'), blob), { ...at, port: 2222 }, 'known'],
  ['a name that only begins like it', line('gpu.example.organic', blob), at, 'unknown'],
  ['an IPv6 address', line('fe80::1', blob), { host: 'fe80::1', port: 22 }, 'known'],
  ['another key', line('gpu.example.org', other), at, 'changed'],
  ['one of two keys', line('gpu.example.org', other) + line('gpu.example.org', blob), at, 'known'],
  ['a revoked key', line('@revoked gpu.example.org', blob), at, 'revoked'],
  ['a revoked key that is known elsewhere', line('* ', blob) + line('@revoked *', blob), at, 'revoked'],
  ['another key that is revoked', line('@revoked gpu.example.org', other), at, 'unknown'],
  ['an authority’s key', line('@cert-authority gpu.example.org', blob), at, 'unknown'],
  ['a comment', `# ${line('gpu.example.org', blob)}`, at, 'unknown'],
  ['half a line', 'gpu.example.org ssh-ed25519', at, 'unknown'],
  ['nothing', '', at, 'unknown'],
])('%s', (_what, text, host, verdict) => {
  expect(judgeHostKey(lookUpHost(text, host), blob)).toBe(verdict)
})

test.each([at, { host: '10.0.0.7', port: 2222 }])(
  'a host that was met is known by the line that was written: %o',
  (host) => {
    const text = knownHostLine(host, blob)
    expect(text).toMatch(/ ssh-ed25519 \S+\n$/)
    expect(judgeHostKey(lookUpHost(text, host), blob)).toBe('known')
  },
)

test('a fingerprint is what ssh-keygen prints', () => {
  const real = Buffer.from('AAAAC3NzaC1lZDI1NTE5AAAAIIlzQGnR0dT5H4JeS5DmRQWd6ylQ1mcoxYXOfMqEXb8s', 'base64')
  expect(fingerprintOf(real)).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/)
})
