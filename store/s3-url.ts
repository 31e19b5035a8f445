import { RollcallError } from '../protocol/failure.ts'
import { assertStoreKey } from './store.ts'

/** Where an S3 store is, as its URL says. What is undefined is left to the usual AWS settings of each process. */
export interface S3Place {
  /** As it stands in a job's input; it never holds credentials. */
  readonly url: string
  readonly bucket: string
  /** Put before every key: empty, or ends with `/`. */
  readonly keyPrefix: string
  readonly region: string | undefined
  readonly endpoint: string | undefined
  readonly forcePathStyle: boolean | undefined
}

const expected = 's3://bucket/prefix, optionally with ?region=…&endpoint=https://…&forcePathStyle=true'
const options = ['region', 'endpoint', 'forcePathStyle']
const bucketPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

/**
 * Reads `s3://bucket/prefix?region=…&endpoint=…&forcePathStyle=…`.
 * @throws RollcallError `configuration-invalid`; the message repeats nothing that may be a secret
 */
export function parseS3Url(url: URL): S3Place {
  refuseCredentials(url)
  const { searchParams } = url
  const endpoint = searchParams.get('endpoint') ?? undefined
  if (endpoint !== undefined) assertEndpoint(endpoint)
  return {
    url: url.href,
    bucket: bucketOf(url),
    keyPrefix: keyPrefixOf(url),
    region: searchParams.get('region') || undefined,
    endpoint,
    forcePathStyle: pathStyleOf(searchParams.get('forcePathStyle')),
  }
}

/** The URL is stored with every job and shown in Temporal's UI, so nothing secret may be in it. */
function refuseCredentials(url: URL): void {
  if (url.username !== '' || url.password !== '') {
    throw invalid(
      'it holds credentials, and every job shows it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead',
    )
  }
  const unknown = [...url.searchParams.keys()].find((name) => !options.includes(name))
  if (unknown !== undefined) {
    throw invalid(`it has the option ${JSON.stringify(unknown)}; credentials belong into the environment`)
  }
  if (url.hash !== '') throw invalid('it has a part after #')
}

function bucketOf({ host }: URL): string {
  if (bucketPattern.test(host)) return host
  throw invalid(`its bucket is ${JSON.stringify(host)}`)
}

function keyPrefixOf({ pathname }: URL): string {
  const path = pathname.replace(/^\/|\/$/g, '')
  if (path === '') return ''
  try {
    assertStoreKey(path)
  } catch {
    throw invalid(`its prefix is ${JSON.stringify(path)}, which must be segments of [A-Za-z0-9._-] joined by /`)
  }
  return `${path}/`
}

function assertEndpoint(endpoint: string): void {
  const parsed = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) {
    throw invalid('its endpoint is no http:// or https:// address')
  }
  if (parsed.username !== '' || parsed.password !== '' || parsed.search !== '') {
    throw invalid('its endpoint holds more than an address, and every job shows it')
  }
}

function pathStyleOf(value: string | null): boolean | undefined {
  if (value === null) return undefined
  if (value === 'true' || value === 'false') return value === 'true'
  throw invalid(`its forcePathStyle is ${JSON.stringify(value)}, not true or false`)
}

function invalid(what: string): RollcallError {
  return new RollcallError('configuration-invalid', `The S3 store URL cannot be used: ${what}; expected ${expected}`)
}
