import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { z } from 'zod'

const composeSchema = z.looseObject({
  services: z.looseObject({
    postgres: z.looseObject({ command: z.array(z.string()) }),
    temporal: z.looseObject({ image: z.string(), environment: z.record(z.string(), z.string()) }),
    namespace: z.looseObject({ environment: z.record(z.string(), z.string()) }),
  }),
})

/** What docker-compose.temporal.yml says about the server and its database, without the images. */
export interface ComposeServices {
  /** Command line of the database, without the program. */
  readonly postgresArguments: readonly string[]
  readonly serverVersion: string
  readonly serverEnvironment: Readonly<Record<string, string>>
  readonly namespaceEnvironment: Readonly<Record<string, string>>
}

/** Reads the compose file; `${NAME:-default}` becomes its default. */
export async function readComposeServices(): Promise<ComposeServices> {
  const text = await readFile(new URL('../docker-compose.temporal.yml', import.meta.url), 'utf8')
  const withDefaults = text.replaceAll(/\$\{[A-Z_]+:-([^${}]*)\}/g, '$1')
  const { postgres, temporal, namespace } = composeSchema.parse(parse(withDefaults, { merge: true })).services
  return {
    postgresArguments: postgres.command.slice(1),
    serverVersion: temporal.image.slice(temporal.image.lastIndexOf(':') + 1),
    serverEnvironment: temporal.environment,
    namespaceEnvironment: namespace.environment,
  }
}
