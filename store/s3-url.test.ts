import { describe, expect, test } from 'vitest'
import { openStore } from './open-store.ts'
import { parseS3Url } from './s3-url.ts'

test('bucket and prefix; everything else is left to the settings of the process', () => {
  expect(parseS3Url(new URL('s3://my.bucket/evals/2026/'))).toEqual({
    url: 's3://my.bucket/evals/2026/',
    bucket: 'my.bucket',
    keyPrefix: 'evals/2026/',
    region: undefined,
    endpoint: undefined,
    forcePathStyle: undefined,
  })
  expect(parseS3Url(new URL('s3://bucket')).keyPrefix).toBe('')
})

test('region, endpoint and path style can stand in the URL', () => {
  const url = 's3://bucket/p?region=auto&endpoint=https%3A%2F%2Fr2.example%3A8443&forcePathStyle=false'
  expect(parseS3Url(new URL(url))).toMatchObject({
    region: 'auto',
    endpoint: 'https://r2.example:8443',
    forcePathStyle: false,
  })
})

describe('a URL that cannot be used is refused without repeating a secret', () => {
  test.each([
    ['s3://AKIA:hush@bucket/p', 'credentials'],
    ['s3://hush@bucket/p', 'credentials'],
    ['s3://bucket/p?secretAccessKey=hush', '"secretAccessKey"'],
    ['s3://bucket/p?endpoint=https://u:hush@host', 'endpoint'],
    ['s3://bucket/p?endpoint=https://host?X-Amz-Signature=hush', 'endpoint'],
    ['s3://bucket/p?endpoint=host:9000', 'endpoint'],
    ['s3://bucket/p#hush', '#'],
    ['s3://bucket/p?forcePathStyle=hush', 'forcePathStyle'],
    ['s3:///p', 'bucket'],
    ['s3:bucket', 'bucket'],
    ['s3://a:hu sh@b:x', 'not supported'],
    ['s3://bucket/a//b', 'prefix'],
    ['s3://bucket/a/ü', 'prefix'],
  ])('%s', (url, named) => {
    expect(() => openStore(url)).toThrow(
      expect.objectContaining({ code: 'configuration-invalid', message: expect.stringContaining(named) }),
    )
    expect(() => openStore(url)).not.toThrow(/hu ?sh@|=hush|#hush/)
  })
})
