import { cpus, loadavg, release, totalmem } from 'node:os'
import type { DockerConnection } from '../providers/docker/docker-connection.ts'
import { connectToDocker } from '../providers/docker/docker-connection.ts'

export interface Machine {
  readonly date: string
  readonly cores: number
  readonly cpu: string
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  readonly docker: string
  readonly temporal: string
  /** Of the last minute, before anything was measured: above 0.5 other work is taking part. */
  readonly loadBefore: number
}

export async function describeMachine(connection: DockerConnection, temporal: string): Promise<Machine> {
  const { Version } = await connectToDocker(connection).calls.version()
  return {
    date: new Date().toISOString().slice(0, 16),
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.versions.node,
    docker: Version,
    temporal,
    loadBefore: loadavg()[0] ?? 0,
  }
}
