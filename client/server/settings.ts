/**
 * Server settings that make a small Temporal server three to six times faster (measured: docs/operations.md).
 * deploy/dynamic-config.yaml sets the same keys for the compose file; a test holds the two together.
 */
export const dynamicConfig = {
  // Each history shard may read its queues this often. The default of 20 a second makes every workflow task and
  // activity wait 35-45 ms after a short burst, since the embedded server has a single shard.
  'history.transferProcessorMaxPollRPS': 2000,
  'history.timerProcessorMaxPollRPS': 2000,
  'history.visibilityProcessorMaxPollRPS': 2000,
  // The worker that completes a workflow task may take the activities it scheduled without a detour over matching.
  'system.enableActivityEagerExecution': true,
  // A task that waits in one of several partitions is found up to 2 s after its worker has come (measured: 4 times in
  // 10), and every job waits for its worker. One partition carries far more tasks than this engine makes.
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
} as const satisfies Record<string, number | boolean>

/** With a write-ahead log a killed server loses nothing; a power cut may lose the last transactions. */
const sqlitePragmas = ['journal_mode=wal', 'synchronous=normal']

/** The namespace that the embedded server always has. */
export const embeddedNamespace = 'default'

/** Everything listens on loopback: the server has no authentication. */
export const loopback = '127.0.0.1'

/** Command line of the embedded server, without the program itself. */
export function serverArguments(server: { databaseFile: string; port: number; uiPort: number }): string[] {
  const settings = [
    ...sqlitePragmas.flatMap((pragma) => ['--sqlite-pragma', pragma]),
    ...Object.entries(dynamicConfig).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${String(value)}`]),
  ]
  const listen = ['--ip', loopback, '--port', String(server.port), '--ui-port', String(server.uiPort)]
  const database = ['--db-filename', server.databaseFile]
  const standalone = ['--disable-config-env', '--disable-config-file', '--log-level', 'warn']
  return ['server', 'start-dev', ...standalone, ...listen, ...database, ...settings]
}
