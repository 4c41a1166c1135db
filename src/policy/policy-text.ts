/** Where each policy of a file begins and ends, so that a problem can name its line. */

export interface PolicyText {
  readonly text: string
  /** Of the first character, from 1. */
  readonly line: number
}

/**
 * Splits a file at the semicolons that end policies: those outside of strings and comments.
 *
 * A piece that is not ended is returned like the others, for the parser to say what is missing.
 */
export function splitPolicies(file: string): PolicyText[] {
  const policies: PolicyText[] = []
  let start = 0
  let at = skipBlank(file, 0)
  start = at
  while (at < file.length) {
    const char = file[at]
    if (char === '"') at = endOfString(file, at)
    else if (file.startsWith('//', at)) at = endOfLine(file, at)
    else if (char === ';') {
      policies.push({ text: file.slice(start, at + 1), line: lineAt(file, start) })
      at = skipBlank(file, at + 1)
      start = at
    } else at++
  }
  if (start < file.length) policies.push({ text: file.slice(start), line: lineAt(file, start) })
  return policies
}

/** The line of a byte offset, as Cedar counts, in a text that begins at `firstLine`. */
export function lineOfByte(text: string, byte: number, firstLine: number): number {
  const before = Buffer.from(text).subarray(0, byte).toString()
  return firstLine + before.split('\n').length - 1
}

function skipBlank(file: string, from: number): number {
  let at = from
  for (;;) {
    while (at < file.length && /\s/.test(file[at] as string)) at++
    if (!file.startsWith('//', at)) return at
    at = endOfLine(file, at)
  }
}

/** Where a comment ends for Cedar. U+2028 and its like do not end it: what follows must not come alive. */
function endOfLine(file: string, from: number): number {
  const end = file.slice(from).search(/[\n\r]/)
  return end === -1 ? file.length : from + end
}

function endOfString(file: string, from: number): number {
  for (let at = from + 1; at < file.length; at++) {
    if (file[at] === '\\') at++
    else if (file[at] === '"') return at + 1
  }
  return file.length
}

function lineAt(file: string, at: number): number {
  let line = 1
  for (let i = 0; i < at; i++) if (file[i] === '\n') line++
  return line
}
