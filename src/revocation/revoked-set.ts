import { issuerOf } from './issuer-of.ts'
import { RevokedAgents, RevokedTimes, RevokedValues } from './revoked-index.ts'
import { hasEnded, type Revocation, type Subject, type TargetKind, type Undo } from './target.ts'

interface Place {
  add(revocation: Revocation): void
  remove(revocation: Revocation): void
}

/**
 * The live revocations, found by what they stop. It costs a few map look-ups a request, and next to
 * nothing for kinds of targets of which there are none.
 *
 * What has been undone is remembered until nobody can bring it back: a revocation that is heard after
 * its undo counts for nothing.
 */
export class RevokedSet {
  readonly #byId = new Map<string, Revocation>()
  readonly #undone = new Map<string, Undo>()
  readonly #jti = new RevokedValues()
  readonly #session = new RevokedValues()
  readonly #principal = new RevokedValues()
  readonly #task = new RevokedValues()
  readonly #key = new RevokedValues()
  readonly #server = new RevokedValues()
  readonly #issuer = new RevokedValues()
  readonly #agent = new RevokedAgents()
  readonly #before = new RevokedTimes()
  readonly #places: Readonly<Record<TargetKind, Place>> = {
    jti: this.#jti,
    session: this.#session,
    agent: this.#agent,
    principal: this.#principal,
    task: this.#task,
    key: this.#key,
    server: this.#server,
    issuer: this.#issuer,
    before: this.#before,
  }

  /** A revocation with an id that is known takes the place of the one before it. */
  add(revocation: Revocation): void {
    if (this.#undone.has(revocation.id)) return
    this.#remove(this.#byId.get(revocation.id))
    this.#byId.set(revocation.id, revocation)
    this.#places[revocation.target.kind].add(revocation)
  }

  undo(undo: Undo): void {
    this.#remove(this.#byId.get(undo.id))
    this.#undone.set(undo.id, undo)
  }

  isUndone(id: string): boolean {
    return this.#undone.has(id)
  }

  /** What stops the subject, if anything. */
  find(subject: Subject, now: number): Revocation | undefined {
    if (this.#byId.size === 0) return undefined
    const { jti, key, task, server, principal, agents, links, issuedAt } = subject
    return (
      this.#jti.find(jti, now) ??
      this.#session.find(subject.session, now) ??
      this.#key.find(key, now) ??
      this.#principal.find(principal, now) ??
      this.#agent.find(agents, principal, now) ??
      this.#task.find(task, now) ??
      this.#server.find(server, now) ??
      this.#findIssuer(subject, now) ??
      this.#before.find(issuedAt, now) ??
      (links === undefined ? undefined : this.#findLink(links, now))
    )
  }

  list(now: number): Revocation[] {
    return [...this.#byId.values()].filter((revocation) => !hasEnded(revocation, now))
  }

  undone(now: number): Undo[] {
    return [...this.#undone.values()].filter((undo) => !hasEnded(undo, now))
  }

  /** Drops what has ended. */
  sweep(now: number): void {
    for (const revocation of this.#byId.values()) {
      if (hasEnded(revocation, now)) this.#remove(revocation)
    }
    for (const undo of this.#undone.values()) {
      if (hasEnded(undo, now)) this.#undone.delete(undo.id)
    }
  }

  get size(): number {
    return this.#byId.size
  }

  #findIssuer({ principal, agents }: Subject, now: number): Revocation | undefined {
    if (this.#issuer.isEmpty) return undefined
    let found = this.#issuer.find(issuerOf(principal), now)
    for (const agent of agents) found ??= this.#issuer.find(issuerOf(agent), now)
    return found
  }

  #findLink(links: readonly string[], now: number): Revocation | undefined {
    for (const link of links) {
      const found =
        this.#jti.find(link, now) ?? this.#session.find(link, now) ?? this.#key.find(link, now)
      if (found !== undefined) return found
    }
    return undefined
  }

  #remove(revocation: Revocation | undefined): void {
    if (revocation === undefined) return
    this.#byId.delete(revocation.id)
    this.#places[revocation.target.kind].remove(revocation)
  }
}
