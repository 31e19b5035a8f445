import type { EffectiveRuntime } from '../protocol/runtime-config.ts'
import type { ImageSource, Network, SandboxSpec } from '../providers/contract/runtime.ts'

/** What a sandbox is asked to be, as it is told in results and lock files: no values of secrets, no paths of workers. */
export function effectiveRuntime(spec: SandboxSpec): EffectiveRuntime {
  const { resources, limits, env, hostEnv = {}, secrets, mounts, user, workdir } = spec
  return {
    image: shownImage(spec.image),
    resources: { ...resources },
    limits: { ...limits },
    network: shownNetwork(spec.network),
    env: { ...env, ...hostEnv },
    secrets: secrets.filter((name) => !Object.hasOwn(hostEnv, name)),
    mounts,
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
  }
}

function shownImage(image: ImageSource): EffectiveRuntime['image'] {
  if (image.type === 'name') return image.name
  return image.type === 'default' ? 'default' : { dockerfile: image.contentHash }
}

function shownNetwork(network: Network): EffectiveRuntime['network'] {
  return network.mode === 'allowlist' ? { allowlist: network.hosts } : network.mode
}
