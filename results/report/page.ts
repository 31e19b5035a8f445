import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { html, Html } from './html.ts'

/**
 * A page of a report: one file, with style and scripts in it. Its policy allows these scripts alone, by hash, and no
 * request to anywhere, so that nothing out of a sandbox can run or call home, whatever it is.
 */
export function reportPage(title: string, content: Html): string {
  const style = asset('browser.css')
  const scripts = [chartScript(), asset('browser.js')]
  const policy = [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    `script-src ${scripts.map(hashOf).join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        ${inlined('style', style)}
      </head>
      <body>
        <main>${content}</main>
        <p id="script-error" class="bad" hidden></p>
        ${scripts.map((script) => inlined('script', script))}
      </body>
    </html> `.markup
}

/** Exactly the text between the tags, since that is what the policy's hash is of. Our own files, not escaped. */
function inlined(tag: 'style' | 'script', text: string): Html {
  return new Html(`<${tag}>${text}</${tag}>`)
}

/** Line ends as a browser sees them, since it hashes what it has read. */
function asset(name: string): string {
  return readFileSync(join(import.meta.dirname, name), 'utf8').replaceAll('\r\n', '\n')
}

/** The whole library in one file, which its package brings but does not export. */
function chartScript(): string {
  const entry = createRequire(import.meta.url).resolve('chart.js')
  const script = readFileSync(join(dirname(entry), 'chart.umd.min.js'), 'utf8')
  // A comment that would have the developer tools ask for a file beside the report.
  return script.replace(/\n\/\/# sourceMappingURL=.*\n?$/, '\n').replaceAll('\r\n', '\n')
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}
