/** The same thing as a command that can be copied into a shell. */

const PLAIN = /^[A-Za-z0-9_./:@=,+-]+$/

/** One word of a POSIX shell: nothing in it means anything to the shell. */
export function shellWord(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

export function commandOf(...words: readonly string[]): string {
  return words.map(shellWord).join(' ')
}
