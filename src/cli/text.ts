// How answers look to people.
import { Refusal } from '../refusal.ts'

/**
 * Text from elsewhere, safe for a terminal: control and direction-changing characters are shown
 * escaped, so that a claim cannot move the cursor or rewrite what is on the screen.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u{${code.toString(16)}}`
  })
}

/** JSON in which what a terminal could take for commands is escaped too, where JSON leaves it as it is. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    /(?!\n)[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) =>
      character.replace(
        /[\s\S]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
      ),
  )
}

/** A compact JWS or JWE begins with a JSON object in base64url. */
const TOKEN = /(?:eyJ|ew[o0])[\w-]{8,}(?:\.[\w-]*)+/g
const PEM = /-----BEGIN[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g

/** The text with every token and PEM block taken out of it. */
export function withoutCredentials(text: string): string {
  return text.replace(PEM, '[left out]').replace(TOKEN, '[left out]')
}

/** Lines of `name  value`, indented and aligned; those without a value are left out. */
export function table(rows: readonly (readonly [string, string | undefined])[]): string {
  const shown = rows.filter((row): row is readonly [string, string] => row[1] !== undefined)
  const width = Math.max(0, ...shown.map(([name]) => name.length))
  return shown.map(([name, value]) => `  ${name.padEnd(width)}  ${printable(value)}`).join('\n')
}

/** An instant (seconds since the epoch) and how far away it is. */
export function instant(seconds: number, now: number): string {
  const date = new Date(seconds * 1000)
  if (Number.isNaN(date.getTime())) return `${seconds} (no such time)`
  const distance = Math.round(seconds - now)
  const away = distance >= 0 ? `in ${distance} s` : `${-distance} s ago`
  return `${date.toISOString()} (${away})`
}

/** An error in the words an operator can use; a refusal names its evidence. */
export function messageOf(error: unknown): string {
  if (error instanceof Refusal) {
    const { code, ...evidence } = error.reason
    return [code.replaceAll('_', ' '), ...Object.values(evidence)].join(': ')
  }
  return error instanceof Error ? error.message : String(error)
}
