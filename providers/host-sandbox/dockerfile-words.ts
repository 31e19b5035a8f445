/** Variables that a Dockerfile knows at one of its lines. */
export type Variables = Readonly<Record<string, string>>

/**
 * One value of a Dockerfile with variables put in and quotes taken off, as Docker's builder does: nothing is replaced
 * within single quotes, a backslash keeps the next character, `${name:-default}` and `${name:+other}` are known.
 * @throws Error for a form that it does not know.
 */
export function expandWord(word: string, variables: Variables): string {
  let expanded = ''
  let quote: string | undefined
  for (let at = 0; at < word.length;) {
    const character = word.charAt(at)
    if (character === quote || (quote === undefined && (character === '"' || character === "'"))) {
      quote = quote === undefined ? character : undefined
      at += 1
    } else if (character === '\\' && quote !== "'" && at + 1 < word.length) {
      expanded += word.charAt(at + 1)
      at += 2
    } else if (character === '$' && quote !== "'") {
      const reference = readReference(word.slice(at), variables)
      expanded += reference.value
      at += reference.length
    } else {
      expanded += character
      at += 1
    }
  }
  if (quote !== undefined) throw new Error(`a quote ${quote} is not closed`)
  return expanded
}

function readReference(text: string, variables: Variables): { value: string; length: number } {
  const plain = /^\$(\w+)/.exec(text)
  if (plain) return { value: variables[plain[1] ?? ''] ?? '', length: plain[0].length }
  if (!text.startsWith('${')) return { value: '$', length: 1 }
  const braced = /^\$\{(\w+)(?:(:?[-+])([^}$]*))?\}/.exec(text)
  if (!braced) throw new Error(`${JSON.stringify(text)} is a form of variable that is not known`)
  const [whole, name = '', operator = '', word = ''] = braced
  const value = variables[name]
  const isSet = operator.startsWith(':') ? Boolean(value) : value !== undefined
  if (operator.endsWith('-')) return { value: isSet ? (value ?? '') : word, length: whole.length }
  if (operator.endsWith('+')) return { value: isSet ? word : '', length: whole.length }
  return { value: value ?? '', length: whole.length }
}
