/**
 * `/healthz`: the process answers. `/readyz`: everything an exchange depends on works; it names what
 * does not, and never why in detail, because anyone may ask.
 */
import { randomUUID } from 'node:crypto'
import type { BrokerParts, Check } from './parts.ts'

const CHECK_TIMEOUT_MS = 2_000
/** However often it is asked, the store is asked once a second. */
const KEPT_MS = 1_000

export interface Readiness {
  readonly ready: boolean
  readonly checks: Readonly<Record<string, 'ok' | 'failing'>>
}

/** The store, the feed, the keys and the audit; what else there is comes from the parts. */
export function readinessOf(parts: BrokerParts, clock: () => number): () => Promise<Readiness> {
  const { broker } = parts
  const checks: Record<string, Check> = {
    store: () => broker.ledger.spend(`h:${randomUUID()}`, clock() + 5),
    feed: () => parts.revocations.fresh,
    keys: () => parts.keys.current(clock()) !== undefined,
    audit: () => (broker.audit as { readonly failure?: string }).failure === undefined,
    ...parts.checks,
  }
  let kept: { readonly at: number; readonly answer: Promise<Readiness> } | undefined
  return () => {
    const at = performance.now()
    if (kept === undefined || at - kept.at > KEPT_MS) kept = { at, answer: ask(checks) }
    return kept.answer
  }
}

async function ask(checks: Readonly<Record<string, Check>>): Promise<Readiness> {
  const names = Object.keys(checks)
  const found = await Promise.all(names.map((name) => passes(checks[name]!)))
  const entries = names.map((name, i) => [name, found[i] ? 'ok' : 'failing'] as const)
  return { ready: found.every(Boolean), checks: Object.fromEntries(entries) }
}

/** `false`, words, a throw, and no answer in time all mean no. */
async function passes(check: Check): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), CHECK_TIMEOUT_MS)
  })
  try {
    const said = await Promise.race([check(), late])
    return said !== false && typeof said !== 'string'
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
}
