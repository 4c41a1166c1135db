import type { Revocation, Subject, TargetKind } from './target.ts'

/**
 * How long after its end a revocation still counts: verifiers accept an expired token for a few
 * seconds of clock skew, and it must not come back to life in them.
 */
export const COUNTS_AFTER_END_SECONDS = 10

/** The live revocations, found by what they stop. It costs a few map look-ups a request. */
export class RevokedSet {
  readonly #byId = new Map<string, Revocation>()
  readonly #exact: Record<TargetKind, Map<string, Set<Revocation>>> = {
    jti: new Map(),
    session: new Map(),
    agent: new Map(),
    principal: new Map(),
  }
  readonly #beneath = new Map<string, Set<Revocation>>()

  /** A revocation with an id that is known takes the place of the one before it. */
  add(revocation: Revocation): void {
    const { id, target } = revocation
    this.#remove(this.#byId.get(id))
    this.#byId.set(id, revocation)
    insert(this.#exact[target.kind], target.value, revocation)
    if (target.beneath) insert(this.#beneath, target.value, revocation)
  }

  /** What stops the subject, if anything. */
  find(subject: Subject, now: number): Revocation | undefined {
    const found =
      (subject.jti === undefined ? undefined : live(this.#exact.jti.get(subject.jti), now)) ??
      live(this.#exact.session.get(subject.session), now) ??
      live(this.#exact.principal.get(subject.principal), now)
    if (found !== undefined) return found
    for (const agent of subject.agents) {
      const stopped = live(this.#exact.agent.get(agent), now) ?? this.#findAbove(agent, now)
      if (stopped !== undefined) return stopped
    }
    for (const link of subject.links ?? []) {
      const stopped =
        live(this.#exact.jti.get(link), now) ?? live(this.#exact.session.get(link), now)
      if (stopped !== undefined) return stopped
    }
    return undefined
  }

  list(now: number): Revocation[] {
    return [...this.#byId.values()].filter((revocation) => !hasEnded(revocation, now))
  }

  /** Drops what has ended. */
  sweep(now: number): void {
    for (const revocation of this.#byId.values()) {
      if (hasEnded(revocation, now)) this.#remove(revocation)
    }
  }

  get size(): number {
    return this.#byId.size
  }

  /** Whole path segments only: `…/b` is above `…/b/c` and not above `…/b-c`. */
  #findAbove(agent: string, now: number): Revocation | undefined {
    if (this.#beneath.size === 0) return undefined
    for (let end = agent.lastIndexOf('/'); end > 0; end = agent.lastIndexOf('/', end - 1)) {
      const found = live(this.#beneath.get(agent.slice(0, end)), now)
      if (found !== undefined) return found
    }
    return undefined
  }

  #remove(revocation: Revocation | undefined): void {
    if (revocation === undefined) return
    const { id, target } = revocation
    this.#byId.delete(id)
    drop(this.#exact[target.kind], target.value, revocation)
    if (target.beneath) drop(this.#beneath, target.value, revocation)
  }
}

export function hasEnded(revocation: Revocation, now: number): boolean {
  return revocation.until !== undefined && now > revocation.until + COUNTS_AFTER_END_SECONDS
}

function live(found: ReadonlySet<Revocation> | undefined, now: number): Revocation | undefined {
  if (found === undefined) return undefined
  for (const revocation of found) if (!hasEnded(revocation, now)) return revocation
  return undefined
}

function insert(map: Map<string, Set<Revocation>>, key: string, revocation: Revocation): void {
  const there = map.get(key)
  if (there === undefined) map.set(key, new Set([revocation]))
  else there.add(revocation)
}

function drop(map: Map<string, Set<Revocation>>, key: string, revocation: Revocation): void {
  const there = map.get(key)
  if (there?.delete(revocation) && there.size === 0) map.delete(key)
}
