import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Provider } from '../../contract/provider.ts'
import { createModalProvider } from '../modal-provider.ts'
import { modalSettings } from '../modal-settings.ts'
import { credentials } from './control-plane.ts'
import type { ModalServer } from './modal-server.ts'

/** What a worker's environment must have so that the SDK talks to that server and to nobody else. */
export function modalEnvironment({ url }: Pick<ModalServer, 'url'>): Record<string, string> {
  return {
    MODAL_TOKEN_ID: credentials.tokenId,
    MODAL_TOKEN_SECRET: credentials.tokenSecret,
    MODAL_SERVER_URL: url,
    // A developer's own credentials are of no concern here; the SDK reads them when it is loaded.
    MODAL_CONFIG_PATH: '/nonexistent/rollcall-modal.toml',
    no_proxy: '127.0.0.1,localhost',
  }
}

/** The SDK looks for its server in the environment of the process, when a client is made. */
export async function openModalProvider(
  server: Pick<ModalServer, 'url'>,
  options: Readonly<Record<string, string>> = {},
): Promise<Provider> {
  const env = modalEnvironment(server)
  Object.assign(process.env, env)
  return await createModalProvider(modalSettings(options, env))
}

/** The server in a process of its own, so that what it needs is not taken for what the SDK needs. */
export async function spawnModalServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'serve-modal.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface(child.stdout)
  const [url] = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => ['the server ended'])])
  return {
    url: String(url),
    stop: async () => {
      const exit = once(child, 'exit')
      child.stdin.end()
      await exit
    },
  }
}
