/**
 * One version of the policies, deciding.
 *
 * Pure: the same question gets the same answer for as long as the version stands, so an answer is
 * remembered by exactly what the policies read of the question. The engine is asked for the rest.
 */
import { hashJson } from '../action/hash.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import { BoundedMap } from '../lib/bounded-map.ts'
import type { Json } from '../lib/json.ts'
import { type Conditions, combine } from './annotations.ts'
import type { Cedar } from './cedar.ts'
import type { CheckedPolicy } from './check.ts'
import {
  attributesRead,
  type Context,
  contextOf,
  type DecisionInput,
  entitiesOf,
  refuseEscapes,
} from './request.ts'
import { type Slice, Slices } from './slices.ts'
import {
  actionId,
  DELEGATION_ACTION,
  type KnownAction,
  SESSION_ACTION,
  TASK_ACTION,
  type Vocabulary,
} from './vocabulary.ts'

export interface Decision {
  readonly effect: 'permit' | 'deny' | 'ask'
  /** The policies that led to it: the permits, or the forbids. None when nothing permitted. */
  readonly policies: readonly string[]
  readonly version: string
  readonly lifetimeSeconds: number | undefined
  /** How the token must be bound, when a permit says. */
  readonly binding: 'dpop' | 'mtls' | undefined
  readonly maxUses: number
}

/** Something is wrong with the engine or with what it was given; never an answer. */
export class EngineFailure extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'EngineFailure'
  }
}

/** Parsed policy sets that the engine holds at once; it never forgets one, it can only replace it. */
const PLACES = 512
const MAX_REMEMBERED = 10_000
const MAX_KEY_LENGTH = 1024

/** Gives out names for parsed policy sets of one engine instance, and takes back the oldest. */
export class Places {
  readonly #owners: (Slice | undefined)[] = Array(PLACES).fill(undefined)
  #next = 0

  give(slice: Slice): string {
    const place = this.#next++ % PLACES
    const previous = this.#owners[place]
    if (previous !== undefined) previous.parsedAs = undefined
    this.#owners[place] = slice
    return `slice-${place}`
  }
}

export class Decider {
  readonly version: string
  readonly #vocabulary: Vocabulary
  readonly #slices: Slices
  readonly #conditions: ReadonlyMap<string, Conditions>
  readonly #remembered = new BoundedMap<string, Decision>(MAX_REMEMBERED)

  constructor(catalogue: Catalogue, vocabulary: Vocabulary, policies: readonly CheckedPolicy[]) {
    this.#vocabulary = vocabulary
    this.#slices = new Slices(policies)
    this.#conditions = new Map(policies.map((policy) => [policy.id, policy.conditions]))
    const texts: Json = policies.map((policy) => [policy.id, policy.text])
    this.version = hashJson([catalogue.version, texts])
  }

  /**
   * @throws {Refusal} arguments_invalid, arguments_too_costly
   * @throws {EngineFailure} when a policy cannot be evaluated, or the action is not in the catalogue
   *   that the policies were checked against
   * @throws {Error} whatever a broken engine throws
   */
  decide(input: DecisionInput, cedar: Cedar, places: Places): Decision {
    const known = this.#actionOf(input)
    refuseEscapes(input.action?.arguments)
    const slice = this.#slices.find(known, input.workload)
    if (slice.policies.length === 0) return this.#denied([])
    const context = contextOf(input, known, slice.reads)
    const key = this.#keyOf(input, known, slice, context)
    const remembered = key === undefined ? undefined : this.#remembered.get(key)
    if (remembered !== undefined) return remembered
    const decision = this.#ask(input, known, slice, context, cedar, places)
    if (key !== undefined) this.#remembered.set(key, decision)
    return decision
  }

  #actionOf(input: DecisionInput): KnownAction {
    const { server, definition } = input
    const known = this.#vocabulary.actions.get(server)?.get(actionIdOf(input))
    if (known === undefined || known.definition?.hash !== definition?.hash) {
      throw new EngineFailure('the policies were checked against another catalogue')
    }
    return known
  }

  /** `undefined` for what will not come again: a moment, a long text. */
  #keyOf(
    input: DecisionInput,
    known: KnownAction,
    slice: Slice,
    context: Context,
  ): string | undefined {
    const { reads } = slice
    if (reads.context === 'all' || reads.context.has('time')) return undefined
    let text = JSON.stringify(context)
    if (reads.attributes || reads.context.has('user')) {
      text += JSON.stringify(attributesRead(input, reads))
    }
    if (text.length > MAX_KEY_LENGTH) return undefined
    return JSON.stringify([known.uid.type, known.uid.id, input.workload.id, text])
  }

  #ask(
    input: DecisionInput,
    known: KnownAction,
    slice: Slice,
    context: Context,
    cedar: Cedar,
    places: Places,
  ): Decision {
    const answer = cedar.statefulIsAuthorized({
      principal: { type: 'Workload', id: input.workload.id },
      action: { type: known.uid.type, id: known.uid.id },
      resource: { type: 'McpServer', id: input.server },
      context,
      preparsedPolicySetId: slice.parsedAs ?? parse(slice, cedar, places),
      entities: entitiesOf(input, known, slice.reads),
    })
    if (answer.type === 'failure') {
      throw new EngineFailure(answer.errors[0]?.message ?? 'the engine could not read the request')
    }
    const { decision, diagnostics } = answer.response
    // Cedar skips a policy that fails. A forbid that fails must not be skipped, so nothing is.
    const failed = diagnostics.errors[0]
    if (failed !== undefined) {
      throw new EngineFailure(`policy ${failed.policyId} could not be evaluated`)
    }
    const policies = [...diagnostics.reason].sort()
    return decision === 'allow' ? this.#permitted(policies) : this.#denied(policies)
  }

  #permitted(policies: readonly string[]): Decision {
    const permits = policies.map((id) => this.#conditions.get(id))
    if (permits.length === 0 || permits.some((each) => each === undefined)) {
      throw new EngineFailure('the engine permitted by a policy that is not there')
    }
    const asked = combine(permits as Conditions[])
    if (asked === 'clash') return this.#denied(policies)
    return Object.freeze({
      effect: asked.approval ? 'ask' : 'permit',
      policies,
      version: this.version,
      lifetimeSeconds: asked.lifetimeSeconds,
      binding: asked.binding,
      maxUses: asked.uses,
    })
  }

  #denied(policies: readonly string[]): Decision {
    return Object.freeze({
      effect: 'deny',
      policies,
      version: this.version,
      lifetimeSeconds: undefined,
      binding: undefined,
      maxUses: 0,
    })
  }
}

/** What is asked about: a delegation, a pinned definition, a task, or else a session. */
function actionIdOf({ delegation, definition, action }: DecisionInput): string {
  if (delegation !== undefined) return DELEGATION_ACTION
  if (definition !== undefined) return actionId(definition)
  return action === undefined ? SESSION_ACTION : TASK_ACTION
}

/** Hands the policies of a slice to the engine, once. */
function parse(slice: Slice, cedar: Cedar, places: Places): string {
  const place = places.give(slice)
  const texts = Object.fromEntries(slice.policies.map((policy) => [policy.id, policy.text]))
  const answer = cedar.preparsePolicySet(place, { staticPolicies: texts })
  if (answer.type === 'failure') {
    throw new EngineFailure(answer.errors[0]?.message ?? 'the policies could not be parsed')
  }
  slice.parsedAs = place
  return place
}
