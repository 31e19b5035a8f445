import { readFile, access } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join, posix } from 'node:path'
import { DockerfileParser } from 'dockerfile-ast'
import type { Problem } from '../contract/provider.ts'
import type { Resources, SandboxSpec } from '../contract/runtime.ts'
import { snapshotName } from './image-source.ts'
import { insideDirectory } from './inside-sandbox.ts'

/** Of Daytona's own list (GpuType of its API). */
export const gpuTypes = ['H100', 'H200', 'B300', 'RTX-PRO-6000', 'RTX-4090', 'RTX-5090', 'MI355X'] as const

/** Beyond these no sandbox of Daytona's is offered; what an organisation may have is less, and said at creation. */
const most = { cpus: 128, memoryGiB: 1024, storageGiB: 1024, gpus: 8 }

const mibPerGib = 1024

export interface CheckOptions {
  /** `--provider-arg limits=ignore`: a limit on processes is not refused. */
  readonly ignoreLimits: boolean
}

/** Every field of the order that Daytona cannot honour. */
export async function checkSpec(spec: SandboxSpec, options: CheckOptions): Promise<Problem[]> {
  return [
    ...checkResources(spec.resources, options),
    ...checkSnapshot(spec),
    ...checkNetwork(spec),
    ...spec.mounts.map(({ source, target }, index) => ({
      field: `mounts[${index}]`,
      value: `${source}:${target}`,
      expected:
        'No mount: the cloud has no directory of this host; put the files into the image, or use --provider docker.',
    })),
    ...checkWorkdir(spec.workdir),
    ...checkNames(spec),
    ...(await checkImage(spec)),
  ]
}

function checkResources(resources: Resources, { ignoreLimits }: CheckOptions): Problem[] {
  const { cpus, memoryMiB, storageMiB, pids, gpus } = resources
  const problems = [
    cpus !== undefined && !isWhole(cpus, most.cpus)
      ? { field: 'resources.cpus', value: String(cpus), expected: `A whole number of CPUs from 1 to ${most.cpus}.` }
      : undefined,
    notGibibytes('resources.memoryMiB', memoryMiB, most.memoryGiB),
    notGibibytes('resources.storageMiB', storageMiB, most.storageGiB),
    pids !== undefined && !ignoreLimits
      ? {
          field: 'resources.pids',
          value: String(pids),
          expected: 'No limit: Daytona has none on processes; run without it by --provider-arg limits=ignore.',
        }
      : undefined,
    gpus !== undefined && gpus.count !== 0 && !isWhole(gpus.count, most.gpus)
      ? { field: 'resources.gpus', value: String(gpus.count), expected: `A number of GPUs from 1 to ${most.gpus}.` }
      : undefined,
  ].filter((problem) => problem !== undefined)
  const unknown = (gpus?.types ?? []).filter((type) => !gpuTypes.some((known) => known === type))
  const expected = `Types that Daytona has: ${gpuTypes.join(', ')}.`
  return [...problems, ...unknown.map((value) => ({ field: 'resources.gpus.types', value, expected }))]
}

function isWhole(value: number, highest: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= highest
}

function notGibibytes(field: string, mebibytes: number | undefined, highest: number): Problem | undefined {
  if (mebibytes === undefined || isWhole(mebibytes / mibPerGib, highest)) return undefined
  return {
    field,
    value: String(mebibytes),
    expected: `A multiple of ${mibPerGib}, since Daytona counts in GiB, up to ${highest} GiB.`,
  }
}

/** A snapshot brings its own size along. */
function checkSnapshot(spec: SandboxSpec): Problem[] {
  const snapshot = snapshotName(spec.image)
  if (snapshot === undefined) return []
  const expected = `Nothing: snapshot ${snapshot} has its own; leave the field out, or name an image.`
  return (['cpus', 'memoryMiB', 'storageMiB', 'gpus'] as const)
    .filter((name) => spec.resources[name] !== undefined)
    .map((name) => ({ field: `resources.${name}`, value: JSON.stringify(spec.resources[name]), expected }))
}

/** Hosts are names, which Daytona filters as domains, or IPv4 addresses, which it filters as networks. */
function checkNetwork({ network }: SandboxSpec): Problem[] {
  if (network.mode !== 'allowlist') return []
  const expected = 'Host names (*.example.com included) or IPv4 addresses and networks (10.0.0.0/8).'
  const bad = network.hosts.filter((host) => !isNetwork(host) && !isDomain(host))
  const problems = bad.map((value) => ({ field: 'network', value, expected }))
  return network.hosts.length > 0 ? problems : [{ field: 'network', value: 'allowlist of nothing', expected }]
}

export function isNetwork(host: string): boolean {
  const [address = '', bits = '32'] = host.split('/')
  return isIP(address) === 4 && /^\d+$/.test(bits) && Number(bits) <= 32
}

function isDomain(host: string): boolean {
  return /^(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)*[a-z]([a-z0-9-]*[a-z0-9])?$/i.test(host)
}

function checkWorkdir(workdir: string | undefined): Problem[] {
  if (workdir === undefined) return []
  if (!posix.isAbsolute(workdir) || workdir.includes('\n')) {
    return [{ field: 'workdir', value: workdir, expected: 'An absolute path in the sandbox.' }]
  }
  const isOurs = posix.normalize(`${workdir}/`).startsWith(`${insideDirectory}/`)
  if (!isOurs) return []
  return [{ field: 'workdir', value: workdir, expected: `A path outside ${insideDirectory}, which is the runner’s.` }]
}

function checkNames({ env, secrets }: SandboxSpec): Problem[] {
  const expected = 'A name of letters, digits and underscores that does not begin with a digit.'
  const isBad = (name: string) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
  return [
    ...Object.keys(env)
      .filter(isBad)
      .map((value) => ({ field: 'env', value, expected })),
    ...secrets.filter(isBad).map((value) => ({ field: 'secrets', value, expected })),
  ]
}

async function checkImage({ image }: SandboxSpec): Promise<Problem[]> {
  if (image.type === 'name' && !/^[\w.:/@-]+$/.test(image.name)) {
    return [{ field: 'image', value: image.name, expected: 'An image name like registry/name:tag, or snapshot:NAME.' }]
  }
  return image.type === 'dockerfile' ? await checkContext(image.directory) : []
}

/** The SDK packs what COPY lines name, and nothing else. */
async function checkContext(directory: string): Promise<Problem[]> {
  const path = join(directory, 'Dockerfile')
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return [{ field: 'image', value: path, expected: 'A readable Dockerfile at this path.' }]
  const dockerfile = DockerfileParser.parse(text)
  const problems = dockerfile
    .getInstructions()
    .filter((line) => line.getKeyword() === 'ADD' && !isRemote(line.getArgumentsContent() ?? ''))
    .map((line) => ({
      field: `environment/Dockerfile:${line.getRange().start.line + 1}`,
      value: line.getTextContent(),
      expected: 'COPY: Daytona’s SDK sends no files for ADD.',
    }))
  if (dockerfile.getFROMs().length === 0) {
    problems.push({
      field: 'environment/Dockerfile',
      value: text.slice(0, 80),
      expected: 'A FROM line; there is none.',
    })
  }
  const ignored = await access(join(directory, '.dockerignore')).then(
    () => true,
    () => false,
  )
  if (!ignored) return problems
  const expected = 'No such file: Daytona’s SDK does not read it; remove what is not to be copied instead.'
  return [...problems, { field: 'environment/.dockerignore', value: '.dockerignore', expected }]
}

function isRemote(words: string): boolean {
  return words.split(/\s+/).some((word) => /^(https?|git):\/\/|^git@/.test(word))
}
