import { inspect } from 'node:util'
import { DefaultLogger } from '@temporalio/worker'
import type { Logger } from '@temporalio/worker'

/** What Temporal's SDK has to say, from warnings on, as lines of the worker's own log. */
export function sdkLogger(log: (line: string) => void): Logger {
  return new DefaultLogger('WARN', ({ level, message, meta }) => {
    log(`[${level}] ${message}${meta === undefined ? '' : ` ${inspect(meta)}`}`)
  })
}
