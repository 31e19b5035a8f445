import type { S3ClientConfig } from '@aws-sdk/client-s3'

/** With the pauses below, a server that restarts within five seconds is always waited for. */
const attempts = 12
const firstPauseMs = 100
const longestPauseMs = 1_000

/**
 * Repeats what the SDK takes for a passing fault (no connection, 500, 503, slow down) with growing pauses. The SDK's
 * own strategy has one budget for all requests of a client: with twenty in flight it gives up within 100 ms.
 */
export const patientRetries = {
  acquireInitialRetryToken: async () => retryToken(0),
  refreshRetryTokenForRetry: async (token, { error, errorType }) => {
    const isPassing = errorType === 'TRANSIENT' || errorType === 'THROTTLING'
    const count = token.getRetryCount() + 1
    if (!isPassing || count >= attempts) throw error ?? new Error('no further attempt')
    return retryToken(count)
  },
  recordSuccess: () => undefined,
} satisfies S3ClientConfig['retryStrategy']

/** The pause is shortened at random, so that those who failed together do not come back together. */
function retryToken(count: number) {
  const pauseMs = count === 0 ? 0 : Math.min(longestPauseMs, firstPauseMs * 2 ** (count - 1))
  const delayMs = pauseMs * (0.5 + Math.random() / 2)
  return { getRetryCount: () => count, getRetryDelay: () => delayMs }
}
