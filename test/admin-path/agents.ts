/** Whoever asks for tokens and shows them: workloads and users of several issuers, for one task or none. */
import type { Json, JsonObject } from '../../src/lib/json.ts'
import type { SenderKey } from '../../src/token/proof.ts'
import { sessionId } from '../../src/token/session-id.ts'
import {
  type Answer,
  callBody,
  claimsOf,
  FORM,
  JWT_TYPE,
  LIST,
  MCP_HEADERS,
  newKey,
  proofFor,
  remember,
  send,
  TOKEN_EXCHANGE,
} from '../attacks/sender.ts'
import { RESOURCE, type VerifierProcess } from '../attacks/site.ts'
import { until } from '../support/redis.ts'
import type { Alias, BrokerProcess, Domain, Place } from './place.ts'

const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token'
const DELEGATION = 'urn:writ:params:oauth:token-type:delegation'

export interface Who {
  /** Of a SPIFFE workload. */
  readonly path?: string
  readonly domain?: Domain
  /** Of a workload with a token of that issuer instead. */
  readonly job?: readonly [alias: Alias, sub: string]
  /** On whose behalf. */
  readonly user?: readonly [alias: Alias, sub: string]
  /** Handed on by another agent, for this key. */
  readonly delegation?: string
  readonly key?: SenderKey
  /** Goes into action tokens only. */
  readonly task?: string
  readonly resource?: string
}

export interface Token {
  readonly token: string
  readonly jti: string
  readonly kind: 'session' | 'action'
}

export interface Agent {
  readonly id: string
  readonly principal: string
  readonly key: SenderKey
  readonly session: string
  readonly resource: string
  readonly task: string | undefined
  /** One request, with whatever comes of it. */
  ask(kind: Token['kind'], broker: BrokerProcess): Promise<Answer>
  /** A token; asked for again while a broker says that it is temporarily unavailable. */
  obtain(kind: Token['kind'], broker: BrokerProcess): Promise<Token>
  /** Hands its work on to that workload with that key. */
  delegate(to: string, jkt: string, broker: BrokerProcess): Promise<Token>
  /** Shows a token at a verifier of its server: an action token with its action, else a list. */
  show(token: Token, verifier: VerifierProcess): Promise<Answer>
}

export function agentOf(place: Place, who: Who): Agent {
  const { job, user, delegation, task, domain = 'corp.test', resource = RESOURCE } = who
  const path = who.path ?? '/agents/nobody'
  const key = who.key ?? newKey()
  const id = job === undefined ? `spiffe://${domain}${path}` : `oidc:${job[0]}:${job[1]}`
  const handed = delegation === undefined ? undefined : claimsOf(delegation)
  const principal = handed ? String(handed.sub) : user ? `user:${user[0]}:${user[1]}` : id

  async function fields(): Promise<Record<string, string>> {
    const own = job === undefined ? await place.svid(path, domain) : place.tokenOf(...job)
    remember(own)
    const actor = { actor_token: own, actor_token_type: JWT_TYPE }
    if (delegation !== undefined) {
      return { subject_token: delegation, subject_token_type: DELEGATION, ...actor }
    }
    if (user !== undefined) {
      const subject = remember(place.tokenOf(...user))
      return { subject_token: subject, subject_token_type: ID_TOKEN, ...actor }
    }
    return { subject_token: own, subject_token_type: JWT_TYPE }
  }
  async function post(more: Record<string, string>, { port }: BrokerProcess): Promise<Answer> {
    const form = new URLSearchParams({
      grant_type: TOKEN_EXCHANGE,
      ...(await fields()),
      ...more,
    })
    const dpop = proofFor(key, `${place.site.issuer}/token`)
    return await send(port, '/token', { ...FORM, dpop }, form.toString())
  }
  const details = (detail: Record<string, Json>) => JSON.stringify([detail])
  const asked = (kind: Token['kind']): Record<string, string> =>
    kind === 'session'
      ? { resource }
      : {
          resource,
          authorization_details: details({
            type: 'mcp_action',
            locations: [resource],
            actions: ['tools/call'],
            identifier: 'add_note',
            arguments: { title: 'hello' },
            ...(task === undefined ? {} : { task }),
          }),
        }

  async function tokenIn(kind: Token['kind'], ask: () => Promise<Answer>): Promise<Token> {
    for (let attempt = 0; ; attempt++) {
      const { status, text, json } = await ask()
      if (status === 200) {
        const token = remember(String(json.access_token))
        return { token, jti: String(claimsOf(token).jti), kind }
      }
      if (status !== 503 || attempt === 100) throw new Error(`${id}: ${status} ${text}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  const agent: Agent = {
    ...{ id, principal, key, resource, task },
    session: sessionId(id, principal, { jkt: key.jkt }),
    ask: (kind, broker) => post(asked(kind), broker),
    obtain: (kind, broker) => tokenIn(kind, () => agent.ask(kind, broker)),
    delegate: (to, jkt, broker) => {
      const ceiling = { locations: [resource], actions: ['tools/call'], identifiers: ['add_note'] }
      const wish = {
        requested_token_type: DELEGATION,
        may_act: to,
        may_act_jkt: jkt,
        authorization_details: details({ type: 'mcp_ceiling', ...ceiling }),
      }
      return tokenIn('action', () => post(wish, broker))
    },
    show({ token, kind }, { port }) {
      const { host, pathname } = new URL(resource)
      const headers = {
        ...{ ...MCP_HEADERS, host },
        authorization: `DPoP ${token}`,
        dpop: proofFor(key, resource, { accessToken: token }),
      }
      return send(port, pathname, headers, kind === 'action' ? callBody() : LIST)
    },
  }
  return agent
}

/** What a verifier and a broker cannot know to be allowed for the moment is asked again. */
export async function settled(ask: () => Promise<Answer>): Promise<Answer> {
  let answer = await ask()
  await until(async () => {
    if (answer.status !== 503) return true
    answer = await ask()
    return answer.status !== 503
  })
  return answer
}

/** The broker's last word on requests of this agent's. */
export async function lastRefusal(agent: Agent, broker: BrokerProcess): Promise<JsonObject> {
  const own = (await broker.audited()).filter(
    ({ workload, principal, key, reason }) =>
      workload === agent.id &&
      principal === agent.principal &&
      key === agent.key.jkt &&
      reason !== 'revocations_stale',
  )
  const { outcome, reason, evidence } = own.at(-1) ?? {}
  return { outcome: outcome ?? null, reason: reason ?? null, evidence: evidence ?? null }
}
