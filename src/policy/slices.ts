/**
 * Which policies can say anything about one workload doing one thing on one server.
 *
 * Cedar looks at every policy it is given, 2–3 µs each. The scope of a policy (`principal ==`, `action
 * in`, `resource ==`) is simple enough to be answered here, so the engine gets the few whose scope
 * fits, already parsed. It still evaluates them whole: this only leaves out what cannot apply.
 */
import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import type { Workload } from '../identity/workload.ts'
import { BoundedMap } from '../lib/bounded-map.ts'
import type { CheckedPolicy } from './check.ts'
import { type Reads, union } from './reads.ts'
import type { EntityId, KnownAction } from './vocabulary.ts'

/** Policies that are decided with together, and the name under which the engine has them. */
export interface Slice {
  readonly policies: readonly CheckedPolicy[]
  readonly reads: Reads
  /** Of the parsed set; `undefined` until it is needed, and again when its place was given away. */
  parsedAs: string | undefined
}

const MAX_SELECTIONS = 10_000

export class Slices {
  readonly #policies: readonly CheckedPolicy[]
  readonly #byAction = new Map<KnownAction, readonly CheckedPolicy[]>()
  readonly #bySelection = new BoundedMap<string, Slice>(MAX_SELECTIONS)
  readonly #byPolicies = new BoundedMap<string, Slice>(MAX_SELECTIONS)

  constructor(policies: readonly CheckedPolicy[]) {
    this.#policies = policies
  }

  find(action: KnownAction, workload: Workload): Slice {
    const key = `${action.uid.type} ${action.uid.id} ${workload.id}`
    const known = this.#bySelection.get(key)
    if (known !== undefined) return known
    const slice = this.#select(action, workload)
    this.#bySelection.set(key, slice)
    return slice
  }

  #select(action: KnownAction, workload: Workload): Slice {
    let candidates = this.#byAction.get(action)
    if (candidates === undefined) {
      candidates = this.#policies.filter((policy) => concerns(policy, action))
      this.#byAction.set(action, candidates)
    }
    const self = entityOf(workload)
    const above = parentsOf(workload)
    const policies = candidates.filter((policy) => covers(policy.scope.principal, self, above))
    // Workloads that the same policies speak about share one parsed set.
    const key = JSON.stringify(policies.map((policy) => policy.id))
    let slice = this.#byPolicies.get(key)
    if (slice === undefined) {
      slice = {
        policies,
        reads: union(policies.map((policy) => policy.reads)),
        parsedAs: undefined,
      }
      this.#byPolicies.set(key, slice)
    }
    return slice
  }
}

export function entityOf(workload: Workload): EntityId {
  return { type: 'Workload', id: workload.id }
}

/** What a workload is `in`: its trust domain and every path above it, or the issuer that vouches for it. */
export function parentsOf(workload: Workload): EntityId[] {
  if (workload.kind === 'oidc') return [{ type: 'Issuer', id: workload.issuer }]
  const parents = [{ type: 'TrustDomain', id: workload.issuer }]
  const root = `spiffe://${workload.issuer}`.length
  for (
    let at = workload.id.lastIndexOf('/');
    at > root;
    at = workload.id.lastIndexOf('/', at - 1)
  ) {
    parents.push({ type: 'Path', id: workload.id.slice(0, at) })
  }
  return parents
}

function concerns({ scope }: CheckedPolicy, action: KnownAction): boolean {
  const server = { type: 'McpServer', id: action.server.resource }
  return covers(scope.action, action.uid, [action.group]) && covers(scope.resource, server, [])
}

type Constraint = PolicyJson['principal'] | PolicyJson['action'] | PolicyJson['resource']

/** Whether a constraint of a scope is met. What is not understood is met: the engine decides. */
function covers(constraint: Constraint, self: EntityId, above: readonly EntityId[]): boolean {
  const any = constraint as {
    op: string
    entity?: EntityId | { __entity: EntityId }
    entities?: (EntityId | { __entity: EntityId })[]
    entity_type?: string
    in?: { entity?: EntityId | { __entity: EntityId } }
  }
  const isSelf = (entity: EntityId | { __entity: EntityId } | undefined) => same(entity, self)
  const isAbove = (entity: EntityId | { __entity: EntityId } | undefined) =>
    isSelf(entity) || above.some((each) => same(entity, each))
  switch (any.op) {
    case '==':
      return isSelf(any.entity)
    case 'in':
      return any.entities === undefined ? isAbove(any.entity) : any.entities.some(isAbove)
    case 'is':
      return any.entity_type === self.type && (any.in === undefined || isAbove(any.in.entity))
    default:
      return true
  }
}

function same(entity: EntityId | { __entity: EntityId } | undefined, other: EntityId): boolean {
  if (entity === undefined) return false
  const { type, id } = '__entity' in entity ? entity.__entity : entity
  return type === other.type && id === other.id
}
