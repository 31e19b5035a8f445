import { z } from 'zod'

const manifestSchema = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  license: z.string(),
  type: z.literal('module'),
  bin: z.record(z.string(), z.string()),
  exports: z.record(z.string(), z.string()),
  dependencies: z.record(z.string(), z.string()),
  optionalDependencies: z.record(z.string(), z.string()),
  engines: z.record(z.string(), z.string()),
})

/**
 * The manifest of `dist/`, out of the clone's: the clone's `bin` and `exports` name `.ts` files, the package's the
 * JavaScript and declarations beside each other. Nothing that only the clone needs is in it.
 */
export function publishedManifest(source: string): Record<string, unknown> {
  const { bin, exports, ...manifest } = manifestSchema.parse(JSON.parse(source))
  return {
    ...manifest,
    bin: mapValues(bin, (path) => path.replace(/\.ts$/, '.js')),
    exports: mapValues(exports, publishedExport),
  }
}

function publishedExport(path: string): string | { types: string; default: string } {
  if (!path.endsWith('.ts')) return path
  const stem = path.slice(0, -'.ts'.length)
  return { types: `${stem}.d.ts`, default: `${stem}.js` }
}

function mapValues<Value>(
  record: Readonly<Record<string, string>>,
  map: (value: string) => Value,
): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]))
}
