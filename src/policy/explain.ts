/** “Might this agent do that, and which policies say so?”, asked for people; nothing comes of it. */
import type { Action, ActionMethod } from '../action/action.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import { understand } from '../catalogue/understand.ts'
import { hypotheticalWorkload } from '../identity/hypothetical.ts'
import type { JsonObject } from '../lib/json.ts'
import { type Reason, Refusal, refuse } from '../refusal.ts'
import type { Decision, Policies } from './engine.ts'

export interface Question {
  /** A SPIFFE ID, or `oidc:<alias>:<sub>`; nobody has to have proven it. */
  readonly workload: string
  /** What its issuer is supposed to say of it. */
  readonly attributes?: JsonObject | undefined
  /** The workload itself, when not given. */
  readonly principal?: string | undefined
  /** The resource URI. */
  readonly server: string
  /** Without one a session token is asked about. */
  readonly action?: AskedAction | undefined
  /** Seconds since the epoch. */
  readonly time: number
  readonly address?: string | undefined
  readonly binding: 'dpop' | 'mtls'
}

export interface AskedAction {
  readonly method: Extract<ActionMethod, 'tools/call' | 'prompts/get' | 'resources/read'>
  readonly name: string
  /** Resources take none. */
  readonly arguments?: JsonObject | undefined
  readonly task?: string | undefined
}

/** A decision, or why no policy would be asked at all. */
export type Explained = Decision | { readonly effect: 'refused'; readonly reason: Reason }

/**
 * The same steps as an exchange, with a workload that is only supposed.
 *
 * @throws {Refusal} identity_invalid for an id of another form; policy_unavailable
 */
export function explain(
  question: Question,
  rules: { readonly catalogue: Catalogue; readonly policies: Pick<Policies, 'decide'> },
): Explained {
  const { server, principal, time, address, binding } = question
  const workload = hypotheticalWorkload(question.workload, question.attributes)
  const action = question.action && actionOf(question.action, server)
  try {
    if (!rules.catalogue.servers.has(server)) refuse({ code: 'server_unknown', server })
    const understood = action === undefined ? undefined : understand(rules.catalogue, action)
    return rules.policies.decide({
      workload,
      principal: principal ?? workload.id,
      actors: [],
      action,
      server,
      definition: understood?.definition,
      time,
      address,
      binding,
    })
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason.code.endsWith('_unavailable')) throw error
    return { effect: 'refused', reason: error.reason }
  }
}

function actionOf({ method, name, task, arguments: args }: AskedAction, server: string): Action {
  return {
    server,
    method,
    identifier: name,
    arguments: method === 'resources/read' ? args : (args ?? {}),
    input: undefined,
    task,
  }
}
