import type * as Sdk from '@aws-sdk/client-s3'
import { RollcallError } from '../protocol/failure.ts'
import { patientRetries } from './s3-retries.ts'
import type { S3Place } from './s3-url.ts'

const connectionTimeoutMs = 3_000
/** A connection on which nothing moves for so long is given up and the request repeated. */
const silenceTimeoutMs = 60_000
const maxSockets = 128
/** What the aws command takes for S3 when nothing names a region. */
const defaultRegion = 'us-east-1'

/** Keys instead of the process's own AWS settings. */
export interface S3Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/**
 * A client for the place. Credentials, and what the URL leaves open, come from where every AWS program looks:
 * environment, `~/.aws`, web identity, container and instance roles of this very process.
 * @throws RollcallError `configuration-invalid` when the SDK is not installed
 */
export async function connectS3(place: S3Place, credentials: S3Credentials | undefined): Promise<Sdk.S3> {
  const sdk = await loadSdk()
  const settings = {
    ...(place.endpoint === undefined ? {} : { endpoint: place.endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    retryStrategy: patientRetries,
    // Not every S3-compatible server knows the newer checksums; every request is signed with a hash anyway.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      socketTimeout: silenceTimeoutMs,
      httpAgent: { keepAlive: true, maxSockets },
      httpsAgent: { keepAlive: true, maxSockets },
    },
  } as const
  const usual = new sdk.S3(settings)
  const region = place.region ?? (await usual.config.region().catch(() => defaultRegion))
  const forcePathStyle = place.forcePathStyle ?? (await hasOwnEndpoint(usual, place))
  return new sdk.S3({ ...settings, region, forcePathStyle })
}

/** Servers other than Amazon's seldom have a host name for every bucket. */
async function hasOwnEndpoint(client: Sdk.S3, place: S3Place): Promise<boolean> {
  return place.endpoint !== undefined || (await client.config.serviceConfiguredEndpoint?.()) !== undefined
}

/** Loaded when the first S3 store is used: a quarter of a second and 20 MB that a directory does not need. */
async function loadSdk(): Promise<typeof Sdk> {
  try {
    return await import('@aws-sdk/client-s3')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error
    throw new RollcallError(
      'configuration-invalid',
      'A store on S3 needs the package @aws-sdk/client-s3, which is not installed: npm install @aws-sdk/client-s3@3',
      { cause: error },
    )
  }
}
