/** What the rules of the mutation reader are made of: small changes to a draft. */
import { isAlgorithm } from '../../src/token/algorithm.ts'
import { clientKey, type Draft, type Members, type Situation } from './dpop-draft.ts'

export type Change = (draft: Draft, situation: Situation) => void
/** Changes for a clause, or `undefined` when the clause is not of this kind. */
export type Rule = (clause: string) => readonly Change[] | undefined

const IN_HEADER = ['typ', 'alg', 'jwk', 'kid']

/** A rule for clauses that match `pattern` as a whole, whatever their case. */
export function rule(
  pattern: string,
  changes: (words: readonly string[]) => readonly Change[] | Change | undefined,
): Rule {
  const whole = new RegExp(`^(?:${pattern})$`, 'i')
  return (clause) => {
    const match = whole.exec(clause)
    if (match === null) return undefined
    const made = changes(match.slice(1).map((word) => word ?? ''))
    return typeof made === 'function' ? [made] : made
  }
}

export const nothing: Change = () => undefined

export function fields(count: Draft['fields']): Change {
  return (draft) => {
    draft.fields = count
  }
}

export function fieldText(text: string): Change {
  return (draft) => {
    draft.fieldText = text
  }
}

export function scheme(name: string): Change {
  return (draft) => {
    draft.scheme = name
  }
}

export function set(name: string, value: Members[string]): Change {
  const member = name.toLowerCase()
  return (draft) => {
    ;(IN_HEADER.includes(member) ? draft.header : draft.claims)[member] = value
  }
}

export function leaveOut(name: string): Change {
  return set(name, undefined)
}

export function at(name: string, offsetSeconds: number): Change {
  return (draft, situation) => {
    set(name, Math.floor(situation.now) + offsetSeconds)(draft, situation)
  }
}

/** A proof that is right in everything, made with this algorithm. */
export function algorithm(name: string): readonly Change[] | undefined {
  if (/^none$/i.test(name)) {
    return [
      (draft) => {
        draft.header.alg = 'none'
        draft.signer = undefined
      },
    ]
  }
  if (/^hs(256|384|512)$/i.test(name)) {
    return [
      (draft) => {
        draft.header.alg = name.toUpperCase()
        draft.signer = 'hmac'
      },
    ]
  }
  const known = [name, name.toUpperCase()].find(isAlgorithm)
  if (known === undefined) return undefined
  return [
    (draft) => {
      const key = clientKey(known)
      draft.header.alg = known
      draft.header.jwk = key.publicJwk
      draft.signer = key
      draft.token.boundTo = key
    },
  ]
}

export function alter(index: number): Change {
  return (draft) => {
    draft.alterSignature = (signature) => {
      const altered = Buffer.from(signature)
      altered.writeUInt8(altered.at(index)! ^ 1, index < 0 ? altered.length + index : index)
      return altered
    }
  }
}

export function onUrl(change: (url: URL) => string): Change {
  return (draft) => {
    draft.claims.htu = change(new URL(String(draft.claims.htu)))
  }
}

export function elsewhere(part: string): (url: URL) => string {
  switch (part.toLowerCase()) {
    case 'path':
    case 'endpoint':
    case 'resource':
      return (url) => `${url.origin}${url.pathname}/other`
    case 'scheme':
      return (url) => url.href.replace(/^https?/, url.protocol === 'https:' ? 'http' : 'https')
    case 'port':
      return (url) => `${url.protocol}//${url.hostname}:4999${url.pathname}`
    default:
      return (url) => `https://wrong.example${url.pathname}`
  }
}

export function seconds(amount: string, unit: string): number {
  const factor = /^ms|^milli/i.test(unit)
    ? 0.001
    : /^m/i.test(unit)
      ? 60
      : /^h/i.test(unit)
        ? 3600
        : /^d/i.test(unit)
          ? 86_400
          : 1
  return Number(amount) * factor
}

export function inCase(text: string, how: string): string {
  if (/upper/i.test(how)) return text.toUpperCase()
  if (/lower/i.test(how)) return text.toLowerCase()
  return [...text]
    .map((letter, index) => (index % 2 === 0 ? letter.toLowerCase() : letter.toUpperCase()))
    .join('')
}
