import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheDirectory } from '../../protocol/directories.ts'
import type { ClientEnvironment } from '../../client/index.ts'
import { testImageMap } from '../../scripts/test-images.ts'
import { openStore } from '../../store/open-store.ts'
import type { Store } from '../../store/store.ts'
import { chaosPlace } from './chaos-place.ts'
import type { ChaosPlace } from './chaos-place.ts'
import { writeChaosTasks } from './chaos-tasks.ts'
import { openEngineProxy } from './engine-proxy.ts'
import type { EngineProxy } from './engine-proxy.ts'
import type { ChaosProvider, FaultKind } from './fault-plan.ts'
import { livingProcesses, signalProcess } from './processes.ts'
import type { LivingProcess } from './processes.ts'

const enginePath = '/var/run/docker.sock'

export interface ChaosOptions {
  readonly provider: ChaosProvider
  readonly seed: number
  readonly rollouts: number
  readonly concurrency: number
  /** How many faults are planned. */
  readonly faults: number
  readonly kinds: readonly FaultKind[]
  /** Somebody cancels the job when this share of it is done. Default: nobody does. */
  readonly cancelAtShare?: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly log: (line: string) => void
}

/** A user's machine of its own: state directory, embedded server, taskset, and what stands before the Engine. */
export class ChaosSite {
  readonly home: string
  readonly run: string
  readonly environment: ClientEnvironment
  readonly store: Store
  readonly place: ChaosPlace
  readonly proxy: EngineProxy | undefined
  readonly options: ChaosOptions

  private constructor(at: { home: string; proxy: EngineProxy | undefined; options: ChaosOptions }) {
    this.home = at.home
    this.proxy = at.proxy
    this.options = at.options
    this.run = at.home.slice(at.home.lastIndexOf('/') + 1)
    const { TEMPORAL_ADDRESS: _, ...inherited } = at.options.env
    const stateDirectory = join(at.home, 'state')
    const env = { ...inherited, ROLLCALL_STATE_DIR: stateDirectory }
    const storeUrl = `file://${join(stateDirectory, 'store')}`
    this.environment = { workingDirectory: at.home, env, stateDirectory, cacheDirectory: cacheDirectory(env), storeUrl }
    this.store = openStore(storeUrl)
    this.place = chaosPlace(at.options.provider, stateDirectory)
  }

  static async open(options: ChaosOptions): Promise<ChaosSite> {
    const home = await mkdtemp(join(tmpdir(), 'rc-chaos-'))
    const isDocker = options.provider === 'docker'
    const proxy = isDocker ? await openEngineProxy(enginePath, join(home, 'engine.sock')) : undefined
    const site = new ChaosSite({ home, proxy, options })
    const { seed, rollouts: count } = options
    await writeChaosTasks({ directory: join(home, 'tasks'), count, seed, run: site.run })
    return site
  }

  /** `rollcall run` of the taskset as a job. */
  runArgs(job: string): string[] {
    const { provider, concurrency } = this.options
    const images = Object.entries(testImageMap).flatMap(([from, to]) => ['--image-map', `${from}=${to}`])
    const socket = this.proxy === undefined ? [] : ['--provider-arg', `socket=${this.proxy.socketPath}`]
    const where = ['--provider', provider, ...(provider === 'docker' ? [...images, ...socket] : [])]
    const how = ['--agent', 'script', '-n', String(concurrency), '--sandbox-loss', 'restart', '--json']
    return ['run', join(this.home, 'tasks'), ...where, ...how, '--job', job, '--jobs-dir', join(this.home, 'jobs')]
  }

  /** Pid of the Temporal server by its own record, dead or alive. */
  async serverPid(): Promise<number | undefined> {
    const text = await readFile(join(this.environment.stateDirectory, 'server/current.json'), 'utf8').catch(() => '{}')
    const { pid } = JSON.parse(text) as { pid?: number }
    return pid
  }

  /** Processes of this site: its commands, workers, server, and everything in its sandboxes. */
  async processes(): Promise<LivingProcess[]> {
    const others = (await livingProcesses()).filter(({ pid }) => pid !== process.pid)
    const ours = await Promise.all(others.map((each) => this.#isOurs(each)))
    return others.filter((_, index) => ours[index])
  }

  async #isOurs({ pid, argv, env }: LivingProcess): Promise<boolean> {
    const names = (text: string) => text.includes(this.run)
    // A local sandbox has its directories mounted, whatever its processes have made of their arguments and environment.
    return (
      argv.some(names) || env.some(names) || names(await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => ''))
    )
  }

  async workers(job: string): Promise<LivingProcess[]> {
    return (await this.processes()).filter(({ argv }) => {
      const [, main = '', first = '', ...rest] = argv
      if (main.endsWith('/workers/main.ts')) return first.includes(`"job":"${job}"`)
      return main.endsWith('/cli/main.ts') && first === 'worker' && rest.includes(job)
    })
  }

  /** Ends what is left, and removes the directory where it is of no further use. */
  async close({ jobs, keepFiles }: { jobs: readonly string[]; keepFiles: boolean }): Promise<void> {
    this.proxy?.close()
    for (const { pid } of await this.processes()) signalProcess(pid, 'SIGKILL')
    for (const job of jobs) for (const sandbox of await this.place.sandboxes(job)) await this.place.destroy(sandbox)
    if (!keepFiles) await rm(this.home, { recursive: true, force: true })
  }
}
