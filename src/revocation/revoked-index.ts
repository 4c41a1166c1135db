/** Where `RevokedSet` looks for what stops a request: one way for each form of target. */
import { hasEnded, type Revocation } from './target.ts'

/** Found by a value, which must be the very same. */
export class RevokedValues {
  readonly #byValue = new Map<string, Set<Revocation>>()

  add(revocation: Revocation): void {
    const { value } = revocation.target
    const there = this.#byValue.get(value)
    if (there === undefined) this.#byValue.set(value, new Set([revocation]))
    else there.add(revocation)
  }

  remove(revocation: Revocation): void {
    const { value } = revocation.target
    const there = this.#byValue.get(value)
    if (there?.delete(revocation) && there.size === 0) this.#byValue.delete(value)
  }

  find(value: string | undefined, now: number): Revocation | undefined {
    if (value === undefined || this.#byValue.size === 0) return undefined
    const found = this.#byValue.get(value)
    if (found === undefined) return undefined
    for (const revocation of found) if (!hasEnded(revocation, now)) return revocation
    return undefined
  }

  get isEmpty(): boolean {
    return this.#byValue.size === 0
  }
}

/** Ids exactly, or beneath a path; whoever they act for, or for one principal only. */
export class RevokedAgents {
  readonly #all = new AgentPaths()
  /** By principal first: an agent may be stopped for any number of them. */
  readonly #byPrincipal = new Map<string, AgentPaths>()

  add(revocation: Revocation): void {
    const { principal } = revocation.target
    if (principal === undefined) {
      this.#all.add(revocation)
      return
    }
    const paths = this.#byPrincipal.get(principal) ?? new AgentPaths()
    this.#byPrincipal.set(principal, paths)
    paths.add(revocation)
  }

  remove(revocation: Revocation): void {
    const { principal } = revocation.target
    if (principal === undefined) {
      this.#all.remove(revocation)
      return
    }
    const paths = this.#byPrincipal.get(principal)
    paths?.remove(revocation)
    if (paths?.isEmpty) this.#byPrincipal.delete(principal)
  }

  find(agents: readonly string[], principal: string, now: number): Revocation | undefined {
    const forPrincipal = this.#byPrincipal.size === 0 ? undefined : this.#byPrincipal.get(principal)
    for (const agent of agents) {
      const found = this.#all.find(agent, now) ?? forPrincipal?.find(agent, now)
      if (found !== undefined) return found
    }
    return undefined
  }
}

class AgentPaths {
  readonly #exact = new RevokedValues()
  readonly #beneath = new RevokedValues()

  add(revocation: Revocation): void {
    this.#exact.add(revocation)
    if (revocation.target.beneath) this.#beneath.add(revocation)
  }

  remove(revocation: Revocation): void {
    this.#exact.remove(revocation)
    this.#beneath.remove(revocation)
  }

  get isEmpty(): boolean {
    return this.#exact.isEmpty
  }

  find(agent: string, now: number): Revocation | undefined {
    return this.#exact.find(agent, now) ?? this.#findAbove(agent, now)
  }

  /** Whole path segments only: `…/b` is above `…/b/c` and not above `…/b-c`. */
  #findAbove(agent: string, now: number): Revocation | undefined {
    if (this.#beneath.isEmpty) return undefined
    for (let end = agent.lastIndexOf('/'); end > 0; end = agent.lastIndexOf('/', end - 1)) {
      const found = this.#beneath.find(agent.slice(0, end), now)
      if (found !== undefined) return found
    }
    return undefined
  }
}

/** Found by being issued before a time. The latest time goes first, and it alone decides. */
export class RevokedTimes {
  #latestFirst: { readonly before: number; readonly revocation: Revocation }[] = []

  add(revocation: Revocation): void {
    this.#latestFirst.push({ before: Number(revocation.target.value), revocation })
    this.#latestFirst.sort((one, other) => other.before - one.before)
  }

  remove(revocation: Revocation): void {
    this.#latestFirst = this.#latestFirst.filter((each) => each.revocation !== revocation)
  }

  find(issuedAt: number | undefined, now: number): Revocation | undefined {
    if (issuedAt === undefined) return undefined
    for (const { before, revocation } of this.#latestFirst) {
      if (!(issuedAt < before)) return undefined
      if (!hasEnded(revocation, now)) return revocation
    }
    return undefined
  }
}
