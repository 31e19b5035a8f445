import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { describe, expect, test } from 'vitest'
import { jobOptions } from '../protocol/job-options-fixture.ts'
import { harborJobConfig } from '../results/harbor-result.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { parseRunOptions } from './run-options.ts'
import { effectiveConfig, printedConfig, readConfig, runOptionsOf, selectionOf } from './run-config.ts'

async function fileOf(content: string, name = 'job.yaml'): Promise<string> {
  const path = join(await temporaryFolder('job-file'), name)
  await writeFile(path, content)
  return path
}

describe('a job file', () => {
  test('holds what run takes, and the command line goes over it', async () => {
    const path = await fileOf(`
taskset: tasks
agents: [oracle, { agent: model, model: openai/x, args: { temperature: '0' } }]
provider: { name: local, options: { limits: ignore } }
attempts: 3
runtime: { resources: { cpus: 2, memoryMiB: 512 }, env: { A: a } }
allowEnv: [HOME]
where: { level: 3, tag: [x, y] }
shuffle: true
`)
    const runtimeFile = await fileOf('{"resources": {"cpus": null}, "env": {"A": "b", "B": "b"}}', 'runtime.json')
    const flags = {
      attempts: 5,
      provider: { name: 'local', options: { network: 'true' } },
      runtime: { env: { B: 'c' } },
      allowEnv: ['TOKEN'],
    }
    const config = await effectiveConfig({ file: await readConfig(path), runtimeFile, flags })
    expect(config).toMatchObject({
      taskset: 'tasks',
      attempts: 5,
      provider: { name: 'local', options: { limits: 'ignore', network: 'true' } },
      runtime: { resources: { cpus: null, memoryMiB: 512 }, env: { A: 'b', B: 'c' } },
      allowEnv: ['HOME', 'TOKEN'],
    })
    expect(selectionOf(config)).toEqual({ where: { level: ['3'], tag: ['x', 'y'] }, seed: 0 })
    expect(runOptionsOf(config)).toMatchObject({ agent: [{}, { agent: 'model' }].map((_, at) => config.agents?.[at]) })
  })

  test('another provider on the command line does not get the settings of the file’s', async () => {
    const file = { provider: { name: 'local', options: { limits: 'ignore' }, runtime: { user: 'me' } } }
    const { provider } = await effectiveConfig({ file, flags: { provider: { name: 'docker', options: {} } } })
    expect(provider).toEqual({ name: 'docker', options: {}, runtime: { user: 'me' } })
  })

  test('everything wrong with it is told at once, by name', async () => {
    const path = await fileOf('attempts: none\nagent: oracle\nruntime: { cpu: 1 }\n')
    const reading = readConfig(path)
    await expect(reading).rejects.toMatchObject({ code: 'configuration-invalid' })
    await expect(reading).rejects.toThrow(/attempts is "none": expected a whole number above 0/)
    await expect(reading).rejects.toThrow(/agent is "oracle": expected no such key; known here: taskset, agents/)
    await expect(reading).rejects.toThrow(/runtime\.cpu is 1: expected no such key; known here: image, resources/)
    await expect(readConfig(await fileOf('a: [\n'))).rejects.toThrow('expected readable YAML or JSON')
  })

  test('a seed without --shuffle would do nothing, and is refused', async () => {
    await expect(effectiveConfig({ file: {}, flags: { seed: 3 } })).rejects.toThrow('--seed is "3": expected --shuffle')
  })

  test('a time for hosts is refused where a job’s own worker has one host only', async () => {
    const flags = { sandboxLoss: { hostLostMs: 180_000 } }
    await expect(effectiveConfig({ file: {}, flags })).rejects.toThrow(
      '--host-timeout is "180000ms": expected --no-worker',
    )
    const file = { worker: 'shared' as const }
    expect(await effectiveConfig({ file, flags })).toMatchObject({ worker: 'shared', ...flags })
  })

  test('what is printed does the same when it is read', async () => {
    const flags = { taskset: 'x', attempts: 2, shuffle: true, runtime: { resources: { cpus: null } } }
    const printed = printedConfig(await effectiveConfig({ file: {}, flags }))
    expect(parse(printed)).toMatchObject({ ...flags, seed: 0, concurrency: 4, provider: 'docker', agents: ['oracle'] })
    const again = await readConfig(await fileOf(printed))
    expect(printedConfig(await effectiveConfig({ file: again, flags: {} }))).toBe(printed)
  })

  test('the least mean of a run can stand in a file, and the command line goes over it', async () => {
    const file = await readConfig(await fileOf('failUnder: 0.9\n'))
    expect(await effectiveConfig({ file, flags: parseRunOptions({}) })).toMatchObject({ failUnder: 0.9 })
    const flags = parseRunOptions({ failUnder: '0.5' })
    expect(await effectiveConfig({ file, flags })).toMatchObject({ failUnder: 0.5 })
  })

  test.each([
    ['provider: { name: local, runtime: { image: 5 } }\n', 'provider.runtime.image is 5: expected text'],
    ['agents: [{ agent: model, modle: x }]\n', 'agents[0].modle is "x": expected no such key'],
    ['agents: [5]\n', 'agents[0] is 5: expected an agent by name'],
  ])('of tables within the file, too, the field is named: %s', async (content, message) => {
    await expect(readConfig(await fileOf(content))).rejects.toThrow(message)
  })

  test('a file that is not there, and JSON that is none, say so', async () => {
    await expect(readConfig('/no/such/file.yaml')).rejects.toThrow('and there is none')
    await expect(readConfig(await fileOf('{"taskset": }', 'job.json'))).rejects.toThrow(
      'expected readable YAML or JSON',
    )
  })

  test('a job’s own config.json is such a file: the same tasks and agents, and another id', async () => {
    const options = jobOptions({ allowEnv: ['TOKEN'], tasksetRuntime: { user: 'u' }, attempts: 3 })
    const path = await fileOf(JSON.stringify(harborJobConfig('old', options)), 'config.json')
    const config = await readConfig(path)
    expect(config).toMatchObject({
      taskset: { name: 'tasks', tasks: [{ name: 'a', checksum: 'c0ffee' }], runtime: { user: 'u' } },
      agents: [{ spec: { kind: 'nop', label: 'nop' } }],
      attempts: 3,
      allowEnv: ['TOKEN'],
    })
    expect(config).not.toHaveProperty('job')
    const printed = await fileOf(printedConfig(config))
    expect(await readConfig(printed)).toMatchObject({ attempts: 3, agents: [{ spec: { kind: 'nop' } }] })
  })
})
