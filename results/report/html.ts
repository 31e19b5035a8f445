import { escapeControls } from '../terminal-text.ts'

/** Markup that is safe to stand in a page. Out of text it is made by `html`, `block` and `json` alone. */
export class Html {
  readonly markup: string

  constructor(markup: string) {
    this.markup = markup
  }
}

type Content = Html | string | number | undefined | readonly Content[]

/**
 * Markup out of a template. Every string in it is text, from anywhere: what means something in HTML is escaped, also
 * within attributes in double quotes, and control characters are shown as escapes. Absent is empty.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  const parts = strings.map((literal, index) => literal + markupOf(values[index]))
  return new Html(parts.join(''))
}

/** Text of several lines: line ends and tabs stay as they are. */
export function block(text: string): Html {
  const lines = text.replaceAll('\r\n', '\n').split('\n')
  const shown = lines.map((line) => line.split('\t').map(escapeControls).join('\t'))
  return new Html(escapeMarkup(shown.join('\n')))
}

/** A value for a script to read out of an attribute. */
export function json(value: unknown): Html {
  return new Html(escapeMarkup(JSON.stringify(value)))
}

/** Without content, nothing at all. */
export function when(wanted: unknown, content: () => Html): Html | undefined {
  return wanted === undefined || wanted === false ? undefined : content()
}

function markupOf(value: Content): string {
  if (value === undefined) return ''
  if (value instanceof Html) return value.markup
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' ? escapeMarkup(escapeControls(value)) : value.map(markupOf).join('')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeMarkup(text: string): string {
  return text.toWellFormed().replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)
}
