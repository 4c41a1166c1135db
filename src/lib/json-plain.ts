import type { Json } from './json.ts'

/** Beyond this a second copy of the text, made only to compare, is worth nothing. */
const LONGEST = 64 * 1024

/**
 * The value of a text that is exactly what `JSON.stringify` writes for that value, which is how most
 * programs write theirs; `undefined` for any other text, good or bad, to be read the strict way.
 *
 * A text that comes back as it was has no member twice, no number that was rounded and no `-0`. What
 * would come back although it is refused is looked for: escapes, which could be half of a surrogate
 * pair, integers beyond 2^53, and depth.
 *
 * @param text well-formed Unicode
 */
export function parsePlain(text: string, maxDepth: number): Json | undefined {
  if (text.length > LONGEST || text.includes('\\u')) return undefined
  try {
    const value = JSON.parse(text) as Json
    if (isPlain(value, maxDepth) && JSON.stringify(value) === text) return value
  } catch {
    // The strict parser says what is wrong, and where.
  }
  return undefined
}

function isPlain(value: Json, levelsLeft: number): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value)
  if (typeof value !== 'object' || value === null) return true
  if (levelsLeft === 0) return false
  // Of an array too: its elements, by index.
  for (const member of Object.values(value)) if (!isPlain(member, levelsLeft - 1)) return false
  return true
}
