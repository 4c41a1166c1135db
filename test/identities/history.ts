// What was in effect when: the oracle of answers that are given while bundles change.

export const KINDS = ['jwt', 'x509'] as const
export type Kind = (typeof KINDS)[number]

/** Times are of `performance.now()`. */
export interface Answer {
  readonly from: number
  readonly to: number
  /** Undefined when something else than trust kept it from being answered. */
  readonly granted: boolean | undefined
  readonly status: number
}

interface Generation {
  /** Whom the bundle vouches for, by kind. */
  readonly vouched: Readonly<Record<Kind, ReadonlySet<number>>>
  readonly emptied: boolean
  /** It cannot have been believed before. */
  readonly publishedAt: number
  /** From here on nothing older can be believed. */
  settledAt: number
}

/** One trust domain's bundles, and the answers to its workloads. */
export class History {
  readonly name: string
  readonly #generations: Generation[] = []
  readonly #answers: (Answer & { readonly kind: Kind; readonly member: number })[] = []

  constructor(name: string) {
    this.name = name
    const nobody = { jwt: new Set<number>(), x509: new Set<number>() }
    this.#generations.push({ vouched: nobody, emptied: true, publishedAt: 0, settledAt: 0 })
  }

  /** A bundle is about to be published. @returns to be called when it is in effect for certain */
  begin(vouched: Generation['vouched'], emptied: boolean): () => void {
    const publishedAt = performance.now()
    const settledAt = Number.POSITIVE_INFINITY
    const generation: Generation = { vouched, emptied, publishedAt, settledAt }
    this.#generations.push(generation)
    return () => {
      generation.settledAt = performance.now()
    }
  }

  get changes(): number {
    return this.#generations.length - 1
  }

  answered(answer: Answer & { readonly kind: Kind; readonly member: number }): void {
    this.#answers.push(answer)
  }

  judge() {
    const met = new Set<Generation>()
    const wrong: string[] = []
    let [granted, refused, either] = [0, 0, 0]
    for (const { from, to, kind, member, ...answer } of this.#answers) {
      const possible = this.#generations.filter(
        ({ publishedAt }, at) =>
          publishedAt <= to &&
          (this.#generations[at + 1]?.settledAt ?? Number.POSITIVE_INFINITY) >= from,
      )
      const expected = new Set(possible.map(({ vouched }) => vouched[kind].has(member)))
      if (answer.granted) granted += 1
      else refused += 1
      if (expected.size > 1) either += 1
      else for (const one of possible) met.add(one)
      if (!expected.has(answer.granted === true)) {
        const which = possible.map((one) => this.#generations.indexOf(one) + 1).join(' or ')
        wrong.push(`${this.name} ${kind} ${member} in bundle ${which}: ${answer.status}`)
      }
    }
    const { changes } = this
    const emptied = this.#generations.filter((one) => one.emptied).length - 1
    return { changes, emptied, met: met.size, granted, refused, either, wrong }
  }
}
