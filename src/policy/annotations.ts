/**
 * What a permit asks for besides yes: `@lifetime("30")`, `@binding("dpop")`, `@uses("5")`,
 * `@approval("required")`. Read when policies load, so a misspelt one is an error and not a wish.
 */
import { nearest } from '../lib/nearest.ts'

export interface Conditions {
  readonly lifetimeSeconds: number | undefined
  readonly binding: 'dpop' | 'mtls' | undefined
  readonly uses: number | undefined
  readonly approval: boolean
}

/** No token lives longer, whatever a policy says. */
const MAX_LIFETIME_SECONDS = 300
const MAX_USES = 1000
/** `id` names the policy, `description` is for people. */
const PLAIN = ['id', 'description']
const CONDITIONS = ['lifetime', 'binding', 'uses', 'approval']

/** @throws {Error} that names the annotation and what it may be */
export function parseAnnotations(
  annotations: Readonly<Record<string, string>>,
  effect: 'permit' | 'forbid',
): Conditions {
  for (const name of Object.keys(annotations)) {
    if (PLAIN.includes(name)) continue
    if (!CONDITIONS.includes(name)) {
      const hint = nearest(name, [...PLAIN, ...CONDITIONS])
      throw new Error(
        `@${name} is not an annotation${hint === undefined ? '' : `; did you mean @${hint}?`}`,
      )
    }
    if (effect === 'forbid') throw new Error(`@${name} means nothing on a forbid; remove it`)
  }
  const { lifetime, binding, uses, approval } = annotations
  if (binding !== undefined && binding !== 'dpop' && binding !== 'mtls') {
    throw new Error('@binding must be "dpop" or "mtls"')
  }
  if (approval !== undefined && approval !== 'required') {
    throw new Error('@approval must be "required"')
  }
  return {
    lifetimeSeconds: countOf('lifetime', lifetime, MAX_LIFETIME_SECONDS),
    binding,
    uses: countOf('uses', uses, MAX_USES),
    approval: approval === 'required',
  }
}

function countOf(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined
  const count = /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > most) throw new Error(`@${name} must be a number from 1 to ${most}`)
  return count
}

/** What several permits ask for together, strictest first; a permit without `@uses` allows one. */
export interface Combined extends Conditions {
  readonly uses: number
}

/** `clash` when they ask for two bindings, which no token can have. */
export function combine(permits: readonly Conditions[]): Combined | 'clash' {
  const bindings = new Set(permits.map((each) => each.binding).filter((each) => each !== undefined))
  if (bindings.size > 1) return 'clash'
  const lifetimes = permits.map((each) => each.lifetimeSeconds ?? Number.POSITIVE_INFINITY)
  const lifetimeSeconds = Math.min(...lifetimes)
  return {
    lifetimeSeconds: Number.isFinite(lifetimeSeconds) ? lifetimeSeconds : undefined,
    binding: [...bindings][0],
    uses: Math.min(...permits.map((each) => each.uses ?? 1)),
    approval: permits.some((each) => each.approval),
  }
}
