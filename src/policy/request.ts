/** One question to the engine: only what the policies of a slice read, each value in Cedar's form. */
import { isIP } from 'node:net'
import type { CedarValueJson, EntityJson } from '@cedar-policy/cedar-wasm/nodejs'
import type { Action } from '../action/action.ts'
import type { CeilingElement } from '../action/ceiling.ts'
import { canonicalText } from '../action/hash.ts'
import type { PinnedDefinition } from '../catalogue/catalogue.ts'
import { CEDAR_ESCAPES } from '../catalogue/vet.ts'
import type { User } from '../identity/presented.ts'
import type { Workload } from '../identity/workload.ts'
import type { Json, JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import type { Reads } from './reads.ts'
import { type Budget, MAX_VALUES, ownMember, project } from './shape.ts'
import { entityOf, parentsOf } from './slices.ts'
import type { KnownAction } from './vocabulary.ts'

export interface DecisionInput {
  readonly workload: Workload
  /** On whose behalf; the workload's own id when it acts for itself. */
  readonly principal: string
  /** When that is a user: what is known of it. */
  readonly user?: Pick<User, 'id' | 'issuer' | 'attributes'> | undefined
  /** Who acts, outermost first; empty when the workload acts for itself. */
  readonly actors: readonly string[]
  /** `undefined` asks about a session token. */
  readonly action: Action | undefined
  /** Asks about a delegation token instead. */
  readonly delegation?: AskedDelegation | undefined
  /** The resource URI. */
  readonly server: string
  readonly definition: PinnedDefinition | undefined
  /** Seconds since the epoch. */
  readonly time: number
  readonly address: string | undefined
  /** How the token will be bound. */
  readonly binding: 'dpop' | 'mtls'
}

/** One element of what an agent wants to hand on, about one server. */
export interface AskedDelegation {
  /** Who may act next: a workload id. */
  readonly delegate: string
  readonly element: CeilingElement
  readonly task: string | undefined
}

export type Context = Record<string, CedarValueJson>

/**
 * What `vocabulary.ts` promises of `context`, as far as it is read.
 *
 * @throws {Refusal} arguments_invalid when an argument is not of the form its schema promised;
 *   arguments_too_costly when there are too many values for the engine
 */
export function contextOf(input: DecisionInput, known: KnownAction, reads: Reads): Context {
  const context: Context = {}
  const names = reads.context === 'all' ? Object.keys(MEMBERS) : reads.context
  for (const name of names) {
    // A policy may ask `context has toString`; only own members are ours.
    const value = Object.hasOwn(MEMBERS, name) ? MEMBERS[name]?.(input, known, reads) : undefined
    if (value !== undefined) context[name] = value
  }
  return context
}

const MEMBERS: Record<
  string,
  (input: DecisionInput, known: KnownAction, reads: Reads) => CedarValueJson | undefined
> = {
  workload: ({ workload }) => ({
    id: workload.id,
    kind: workload.kind,
    issuer: workload.issuer,
    attributes: canonicalText(workload.attributes),
  }),
  trustDomain: ({ workload }) => (workload.kind === 'spiffe' ? workload.issuer : undefined),
  principal: ({ principal }) => principal,
  user: (input) => {
    const user = userOf(input)
    return user && { __entity: { type: 'User', id: user.id } }
  },
  // An agent that was handed its own work back acts under a ceiling all the same.
  delegated: ({ principal, workload, actors }) => principal !== workload.id || actors.length > 0,
  actors: ({ actors }) => [...actors],
  server: ({ server }) => server,
  serverSpiffeId: (_input, { server }) => server.spiffeId,
  tool: (_input, { definition }) =>
    definition && { kind: definition.kind, name: definition.name, ...definition.annotations },
  delegate: ({ delegation }) => delegation?.delegate,
  methods: ({ delegation }) => delegation && [...delegation.element.actions],
  names: ({ delegation }) => delegation && [...delegation.element.identifiers],
  argumentsFixed: ({ delegation }) => delegation && delegation.element.arguments_hash !== undefined,
  task: ({ action, delegation }) => action?.task ?? delegation?.task,
  time: ({ time }) => ({ __extn: { fn: 'datetime', arg: new Date(time * 1000).toISOString() } }),
  address: ({ address }) => ipaddr(address),
  binding: ({ binding }) => binding,
  continuation: ({ action }) =>
    action?.input && {
      responses: canonicalText(action.input.inputResponses ?? {}),
      ...(action.input.requestState === undefined ? {} : { state: action.input.requestState }),
    },
  input: inputOf,
}

function inputOf({ action }: DecisionInput, known: KnownAction, reads: Reads) {
  if (known.input === undefined || action === undefined) return undefined
  const values: Record<string, CedarValueJson> = {}
  const budget: Budget = { left: MAX_VALUES }
  for (const [name, member] of known.input.members) {
    if (reads.input !== 'all' && !reads.input.has(name)) continue
    const value = argumentOf(action, name)
    if (value === undefined || value === null) {
      if (!member.required) continue
      refuse({ code: 'arguments_invalid', path: `/${name}`, detail: 'is not present' })
    }
    values[name] = project(member.shape, value, `/${name}`, budget)
  }
  return values
}

/** Resources and tasks have no arguments; what they are about stands in the place of one. */
function argumentOf(action: Action, name: string): Json | undefined {
  if (action.method === 'tools/call' || action.method === 'prompts/get') {
    return ownMember(action.arguments ?? {}, name)
  }
  return action.identifier
}

/** An address as `ipaddr` reads it; one from an IPv6 socket may stand for IPv4. */
function ipaddr(address: string | undefined): CedarValueJson | undefined {
  const plain = address?.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  if (plain === undefined || isIP(plain) === 0) return undefined
  return { __extn: { fn: 'ip', arg: plain } }
}

/** The entities whose place in a hierarchy, or whose attributes, are read; a uid alone needs none. */
export function entitiesOf(input: DecisionInput, known: KnownAction, reads: Reads): EntityJson[] {
  const { workload } = input
  const entities: EntityJson[] = []
  if (reads.principal) {
    entities.push({
      uid: { ...entityOf(workload) },
      attrs: {},
      parents: parentsOf(workload),
      tags: tagsOf(workload.attributes),
    })
  }
  if (reads.action)
    entities.push({ uid: { ...known.uid }, attrs: {}, parents: [{ ...known.group }] })
  const user = readsUser(reads) ? userOf(input) : undefined
  if (user !== undefined) {
    const { id, issuer, attributes } = user
    const uid = { type: 'User', id }
    entities.push({ uid, attrs: { id, issuer }, parents: [], tags: tagsOf(attributes) })
  }
  return entities
}

/** What an answer depends on besides the context: one id may come with other attributes next time. */
export function attributesRead(input: DecisionInput, reads: Reads): Json {
  return [
    reads.attributes ? input.workload.attributes : null,
    readsUser(reads) ? (userOf(input)?.attributes ?? null) : null,
  ]
}

function readsUser({ context }: Reads): boolean {
  return context === 'all' || context.has('user')
}

/** `user:<alias of the issuer>:<sub>`, as `identity/` writes it. */
const USER_ID = /^user:([^:]+):/

/**
 * The user on whose behalf it is. Under a delegation the name is all there is: what the issuer said
 * of the user was said to the agent before, and may not hold any more.
 */
function userOf({ user, principal }: DecisionInput): DecisionInput['user'] {
  if (user !== undefined) return user
  const issuer = USER_ID.exec(principal)?.[1]
  return issuer === undefined ? undefined : { id: principal, issuer, attributes: {} }
}

/** One value and several look alike to a policy: a set of text. */
function tagsOf(attributes: JsonObject): Record<string, CedarValueJson> {
  const tags: Record<string, CedarValueJson> = {}
  for (const [name, value] of Object.entries(attributes)) {
    const values: readonly Json[] = Array.isArray(value) ? value : [value]
    tags[name] = values.map((each) => (typeof each === 'string' ? each : canonicalText(each)))
  }
  return tags
}

/**
 * Refuses members that Cedar's JSON form reads as entities and functions, wherever they are.
 *
 * @throws {Refusal} arguments_invalid
 */
export function refuseEscapes(json: Json | undefined, path = ''): void {
  if (typeof json !== 'object' || json === null) return
  if (Array.isArray(json)) {
    for (const [at, each] of json.entries()) refuseEscapes(each, `${path}/${at}`)
    return
  }
  for (const [name, each] of Object.entries(json)) {
    if (CEDAR_ESCAPES.has(name)) {
      refuse({ code: 'arguments_invalid', path: `${path}/${name}`, detail: 'has a reserved name' })
    }
    if (typeof each === 'object') refuseEscapes(each, `${path}/${name}`)
  }
}
