/**
 * Text from tasks, agents and sandboxes, made safe for a terminal: control characters (C0, DEL, C1, line separators)
 * and characters that change the reading direction are shown as escapes. The result is always one line.
 */
export function escapeControls(text: string): string {
  return text.replace(unsafe, escapeCharacter)
}

// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const unsafe = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

const named: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\u001b': '\\e' }

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0)
  return named[character] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`)
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0')
}
