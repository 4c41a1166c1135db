/**
 * Reads what the corpus says in words ("iat missing", "htu of another host") and does it to a draft.
 *
 * A text is one or more clauses, separated by commas; each clause must fit exactly one rule. A clause
 * that fits none is an error: a mutation that is not understood must never count as passed. Where the
 * words leave a choice ("iat outside window"), every reading is tried, and all must be answered alike.
 */
import type { Change } from './dpop-change.ts'
import { CLAIM_RULES } from './dpop-claim-rules.ts'
import type { Draft, Situation } from './dpop-draft.ts'
import { JOSE_RULES } from './dpop-jose-rules.ts'

/** Where the mutation can be seen at all. */
export type Door = 'token endpoint' | 'resource server'

export interface Mutation {
  /** Each changes a draft in one reading of the text. */
  readonly readings: readonly ((draft: Draft, situation: Situation) => void)[]
  readonly doors: readonly Door[]
  /** The text is about nonces, and so about a server that asks for them. */
  readonly needsNonce: boolean
}

const RULES = [...JOSE_RULES, ...CLAIM_RULES]
const BOTH: readonly Door[] = ['token endpoint', 'resource server']

/** @throws {Error} when the text is not understood */
export function parseMutation(text: string): Mutation {
  const clauses = text
    .split(/[,;]\s*(?:and\s+)?/)
    .map((clause) => clause.trim().replace(/\.$/, ''))
    .filter((clause) => clause !== '')
  let readings: Change[] = [() => undefined]
  for (const clause of clauses) {
    const changes = changesOf(clause)
    readings = readings.flatMap((before) =>
      changes.map(
        (change): Change =>
          (draft, situation) => {
            before(draft, situation)
            change(draft, situation)
          },
      ),
    )
  }
  if (clauses.length === 0) throw new Error('an empty mutation')
  const ofToken = /\bath\b|scheme|bearer|access token|audience|cnf|bound/i.test(text)
  return {
    readings,
    doors: ofToken && !/no dpop header/i.test(text) ? ['resource server'] : BOTH,
    needsNonce: /\bnonce\b/i.test(text),
  }
}

function changesOf(clause: string): readonly Change[] {
  for (const wording of new Set([clause, plainly(clause)])) {
    const fitting = RULES.map((rule) => rule(wording)).filter((changes) => changes !== undefined)
    if (fitting.length === 1) return fitting[0]!
    if (fitting.length > 1) throw new Error(`the mutation "${clause}" has two meanings`)
  }
  throw new Error(`the mutation "${clause}" is not understood: add a rule for it`)
}

/** The same in fewer words: "the proof with an iat set to 0" is "iat = 0". */
function plainly(clause: string): string {
  return clause
    .replace(/^(?:the|an?) /i, '')
    .replace(/^(?:dpop )?proof without (?:the |an? )?/i, 'no ')
    .replace(/^(?:dpop )?proof (?:with|has|having|whose) (?:the |an? )?/i, '')
    .replace(/ (?:set to|equal to|equals|changed to|replaced by|replaced with) /i, ' = ')
    .replace(/^(\w+) (?:claim|header|parameter|value) /i, '$1 ')
}
