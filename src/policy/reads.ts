/**
 * What a policy reads of a request, so that nothing else has to be handed to the engine: each member
 * that crosses into WebAssembly costs microseconds, and an unread megabyte costs a lot.
 *
 * Reading too much is only slow. Reading too little makes Cedar report an error, and an error is a no.
 */
import type { PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'

export interface Reads {
  /** Members of `context`, or all of them. */
  readonly context: ReadonlySet<string> | 'all'
  /** Members of `context.input`, or all of them. */
  readonly input: ReadonlySet<string> | 'all'
  /** Whether what the workload belongs to matters (`principal in …`), or its attributes. */
  readonly principal: boolean
  /** Whether the attributes of the workload can matter: two proofs of one id may differ in them. */
  readonly attributes: boolean
  /** Whether what the action belongs to matters (`action in …`). */
  readonly action: boolean
}

export function readsOf(policy: PolicyJson): Reads {
  const found = {
    context: new Set<string>(),
    input: new Set<string>(),
    allContext: false,
    allInput: false,
    principal: policy.principal.op === 'in' || policy.principal.op === 'is',
    attributes: false,
    action: policy.action.op === 'in',
  }
  const note = (path: readonly string[]) => {
    const [first, second] = path
    if (first === undefined) found.allContext = true
    else {
      found.context.add(first)
      if (first === 'input' && second === undefined) found.allInput = true
      if (first === 'input' && second !== undefined) found.input.add(second)
    }
  }
  const walk = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const path = contextPath(node)
    if (path !== undefined) {
      note(path)
      return
    }
    const { Var } = node as { Var?: unknown }
    if (Var === 'principal') {
      found.principal = true
      found.attributes = true
    }
    if (Var === 'action') found.action = true
    for (const child of Object.values(node)) walk(child)
  }
  walk(policy.conditions)
  return {
    context: found.allContext ? 'all' : found.context,
    input: found.allContext || found.allInput ? 'all' : found.input,
    principal: found.principal,
    attributes: found.attributes,
    action: found.action,
  }
}

/** What several policies read together. */
export function union(all: readonly Reads[]): Reads {
  const join = (sets: readonly (ReadonlySet<string> | 'all')[]) =>
    sets.includes('all')
      ? 'all'
      : new Set((sets as ReadonlySet<string>[]).flatMap((set) => [...set]))
  return {
    context: join(all.map((each) => each.context)),
    input: join(all.map((each) => each.input)),
    principal: all.some((each) => each.principal),
    attributes: all.some((each) => each.attributes),
    action: all.some((each) => each.action),
  }
}

/** `context.a.b` or `context.a has b` as its path; `undefined` for any other expression. */
function contextPath(node: object): string[] | undefined {
  const {
    Var,
    '.': get,
    has,
  } = node as {
    Var?: unknown
    '.'?: { left: object; attr: string }
    has?: { left: object; attr: string | string[] }
  }
  if (Var === 'context') return []
  const step = get ?? has
  if (step === undefined || typeof step.left !== 'object') return undefined
  const path = contextPath(step.left)
  return path?.concat(step.attr)
}
