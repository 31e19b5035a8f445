import { Connection } from '@temporalio/client'
import { answersOn } from './ports.ts'

const service = 'temporal.api.workflowservice.v1.WorkflowService'
const serving = 1

/** Whether a Temporal server answers at this loopback address and says that it serves. */
export async function isHealthy(address: string, timeoutMs: number): Promise<boolean> {
  // A refused gRPC channel waits a second before it tries again; a plain connection says at once that nobody listens.
  const port = Number(address.slice(address.lastIndexOf(':') + 1))
  if (!(await answersOn(port, timeoutMs))) return false
  try {
    return await checkHealth(address, timeoutMs)
  } catch {
    return false
  }
}

async function checkHealth(address: string, timeoutMs: number): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: timeoutMs })
  try {
    const answer = await connection.withDeadline(Date.now() + timeoutMs, () =>
      connection.healthService.check({ service }),
    )
    const status: number = answer.status
    return status === serving
  } finally {
    await connection.close()
  }
}
