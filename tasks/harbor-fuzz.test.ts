import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { parse, stringify } from 'smol-toml'
import { expect, test } from 'vitest'
import { loadHarborTask } from './harbor-task.ts'
import { describeProblem } from './problems.ts'
import { writeTask } from './task-fixture.ts'

/** Every field there is, each with a valid value. */
const everything = `
schema_version = "1.4"
source = "https://example.com"
multi_step_reward_strategy = "mean"
artifacts = ["/app/a", { source = "/app/b", destination = "b", exclude = ["*.o"], service = "main" }]
[task]
name = "org/name"
version = "1"
description = "d"
keywords = ["k"]
[[task.authors]]
name = "A"
email = "a@example.com"
[metadata]
tags = ["a"]
[agent]
timeout_sec = 9.5
user = "root"
network_mode = "public"
[verifier]
timeout_sec = 9
env = { A = "b" }
user = 0
environment_mode = "separate"
[[verifier.collect]]
command = "true"
service = "main"
timeout_sec = 1
user = "root"
[verifier.environment]
docker_image = "verifier"
[solution]
env = { C = "d" }
[environment]
build_timeout_sec = 60
docker_image = "image"
os = "linux"
cpus = 1.5
memory_mb = 512
storage_mb = 1024
gpus = 1
gpu_types = ["T4"]
skills_dir = "/skills"
workdir = "/app"
network_mode = "public"
memory = "512M"
storage = "1G"
allow_internet = true
env = { LANG = "C" }
mcp_servers = []
[environment.healthcheck]
command = "true"
interval_sec = 1
timeout_sec = 1
start_period_sec = 0
start_interval_sec = 1
retries = 3
[[steps]]
name = "one"
min_reward = 0.5
artifacts = ["/app/c"]
[steps.agent]
timeout_sec = 5
[steps.verifier]
environment_mode = "shared"
[steps.healthcheck]
command = "true"
[[steps]]
name = "two"
min_reward = { reward = 1.0 }
`

const oddNames = ['', ' ', '../..', '/', 'a'.repeat(5_000), '__proto__', 'constructor', '💥', 'nan']

/** What nobody expects in the place of anything. */
const oddTexts = [...oddNames, '\u0000', '-1', '${HOME}']
const oddNumbers = [0, -1, 1.5, 1e308, -1e308, NaN, Infinity, -Infinity]
const oddTables: readonly unknown[] = [[], {}, [[]], [{}], { constructor: 1 }, [1, 2], { name: 'x' }, new Date(0)]
const oddities: readonly unknown[] = [...oddTexts, ...oddNumbers, ...oddTables, true, false]

type Table = Record<string, unknown>

class Fuzzer {
  readonly #random: ReturnType<typeof xoroshiro128plus>

  constructor(seed: number) {
    this.#random = xoroshiro128plus(seed)
  }

  /** The file with one thing changed, somewhere. */
  mutated(): string {
    const file: Table = parse(everything)
    const tables = tablesOf(file)
    const table = this.#oneOf(tables) ?? file
    const key = this.#oneOf(Object.keys(table)) ?? 'x'
    const changes = [
      () => (table[key] = this.#oneOf(oddities)),
      () => delete table[key],
      () => (table[`${key}_`] = table[key]),
      () => (table[this.#oneOf(oddNames) ?? ''] = this.#oneOf(oddities)),
    ]
    this.#oneOf(changes)?.()
    return stringify(file)
  }

  /** The text with one place spoiled. */
  spoiled(): string {
    const at = this.#below(everything.length)
    const noise = this.#oneOf(['', '"', '[', ']', '=', '\n', '#', '\u0000', '{', '"""', '1']) ?? ''
    return everything.slice(0, at) + noise + everything.slice(at + this.#below(4))
  }

  #oneOf<Value>(values: readonly Value[]): Value | undefined {
    return values[this.#below(values.length)]
  }

  #below(count: number): number {
    return uniformInt(this.#random, 0, Math.max(0, count - 1))
  }
}

function tablesOf(value: unknown): Table[] {
  if (Array.isArray(value)) return value.flatMap(tablesOf)
  if (typeof value !== 'object' || value === null || value instanceof Date) return []
  return [value as Table, ...Object.values(value).flatMap(tablesOf)]
}

const seed = Number(process.env['FUZZ_SEED'] ?? 5)
const rounds = Number(process.env['FUZZ_ROUNDS'] ?? 400)

/** The problems of a task with this task.toml. */
async function loader(): Promise<(toml: string) => Promise<string[]>> {
  const directory = await writeTask({ 'steps/one/instruction.md': 'One.', 'steps/two/instruction.md': 'Two.' })
  return async (toml) => {
    await writeFile(join(directory, 'task.toml'), toml)
    const loaded = await loadHarborTask(directory, { checksum: 'none' })
    return 'problems' in loaded ? loaded.problems.map(describeProblem) : []
  }
}

test('what the fuzzer begins with is valid', async () => {
  const load = await loader()
  expect(await load(everything)).toEqual([])
})

test(`a mutated task.toml loads, or its problems name their fields (seed ${seed})`, async () => {
  const load = await loader()
  const fuzzer = new Fuzzer(seed)
  let refused = 0
  for (let round = 0; round < rounds; round += 1) {
    const toml = round % 4 === 3 ? fuzzer.spoiled() : mutatedOrSpoiled(fuzzer)
    const problems = await load(toml)
    const nameless = problems.filter((problem) => !/^\S[^]* is (missing|[^]+): expected ./.test(problem))
    if (nameless.length > 0) expect({ toml, nameless }).toEqual({ toml, nameless: [] })
    if (problems.length > 0) refused += 1
  }
  expect(refused).toBeGreaterThan(rounds / 4)
})

/** Not every oddity can be written as TOML. */
function mutatedOrSpoiled(fuzzer: Fuzzer): string {
  try {
    return fuzzer.mutated()
  } catch {
    return fuzzer.spoiled()
  }
}
