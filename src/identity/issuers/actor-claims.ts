/** What a user's token says about acting: `may_act`, `act`, `cnf`. What is unclear is refused. */
import { decodeBase64url } from '../../lib/base64url.ts'
import { isJsonObject, type Json, type JsonObject } from '../../lib/json.ts'
import { Refusal, refuse } from '../../refusal.ts'
import type { Actor, Binding } from '../../token/claims.ts'
import { parseSpiffeId } from '../spiffe-id.ts'
import { refuseToken } from './issued-token.ts'

/** A chain longer than this is not read at all; what may be delegated further is decided elsewhere. */
const MAX_ACTORS = 8
const MAX_NAME_CHARACTERS = 2048
const SHA256_BYTES = 32
/** Names are shown, logged and compared, as a `sub` is. */
const VISIBLE = /^[^\p{C}\p{Zl}\p{Zp}]+$/u
/** RFC 8693 §4.1: they say nothing about an actor, so a chain that has them was made by a mistake. */
const NOT_OF_ACTORS = ['exp', 'nbf', 'iat', 'aud', 'jti']

/**
 * The workload that `may_act` names (RFC 8693 §4.4): a SPIFFE ID (`iss`, if any, is its trust domain),
 * or a `sub` of a configured workload issuer named by `iss`, or the id `oidc:<alias>:<sub>` itself.
 *
 * Each member narrows who may act. One that is not understood would be a limit that is not kept.
 *
 * @throws {Refusal} `delegation_refused`, check `may_act`
 */
export function parseMayAct(
  value: Json | undefined,
  workloadIssuers: ReadonlyMap<string, string>,
): string | undefined {
  if (value === undefined) return undefined
  if (!isJsonObject(value)) return refuseMayAct()
  const { sub, iss, ...others } = value
  if (Object.keys(others).length > 0 || !isName(sub)) return refuseMayAct()
  if (sub.startsWith('spiffe://')) {
    const { trustDomain, path } = spiffeIdOf(sub)
    if (path === '') return refuseMayAct()
    return iss === undefined || iss === `spiffe://${trustDomain}` ? sub : refuseMayAct()
  }
  if (iss === undefined) {
    const known = [...workloadIssuers.values()].some((alias) => sub.startsWith(`oidc:${alias}:`))
    return known ? sub : refuseMayAct()
  }
  const alias = typeof iss === 'string' ? workloadIssuers.get(iss) : undefined
  return alias === undefined ? refuseMayAct() : `oidc:${alias}:${sub}`
}

function spiffeIdOf(text: string): ReturnType<typeof parseSpiffeId> {
  try {
    return parseSpiffeId(text)
  } catch (error) {
    if (error instanceof Refusal) return refuseMayAct()
    throw error
  }
}

function refuseMayAct(): never {
  return refuse({ code: 'delegation_refused', check: 'may_act' })
}

/**
 * The chain of actors, outermost first (RFC 8693 §4.1). Identity claims Writ has no name for are left
 * out.
 *
 * @throws {Refusal} `identity_invalid`, check `claims`; `delegation_refused`, check `depth`
 */
export function parseActors(value: Json | undefined): Actor | undefined {
  return value === undefined ? undefined : parseActor(value, MAX_ACTORS)
}

function parseActor(value: Json, actorsLeft: number): Actor {
  if (actorsLeft === 0) return refuse({ code: 'delegation_refused', check: 'depth' })
  if (!isJsonObject(value)) return refuseToken('claims')
  if (NOT_OF_ACTORS.some((name) => Object.hasOwn(value, name))) return refuseToken('claims')
  const { sub, iss, sub_profile, act } = value
  if (!isName(sub)) return refuseToken('claims')
  return {
    sub,
    ...optionalName('iss', iss),
    ...optionalName('sub_profile', sub_profile),
    ...(act === undefined ? {} : { act: parseActor(act, actorsLeft - 1) }),
  }
}

function optionalName<N extends string>(name: N, value: Json | undefined): { [K in N]?: string } {
  if (value === undefined) return {}
  return isName(value) ? ({ [name]: value } as { [K in N]: string }) : refuseToken('claims')
}

/**
 * The one key the token is bound to (RFC 9449 §6.1, RFC 8705 §3.1). Another way to name a key would
 * be a binding that is not kept.
 *
 * @throws {Refusal} `identity_invalid`, check `claims`
 */
export function parseBinding(value: Json | undefined): Binding | undefined {
  if (value === undefined) return undefined
  if (!isJsonObject(value) || Object.keys(value).length !== 1) return refuseToken('claims')
  const { jkt } = value
  const x5t = value['x5t#S256']
  if (isThumbprint(jkt)) return { jkt }
  return isThumbprint(x5t) ? { 'x5t#S256': x5t } : refuseToken('claims')
}

/**
 * The claim as a list of absolute URIs.
 *
 * @throws {Refusal} `identity_invalid`, check `claims`
 */
export function parseResources(claims: JsonObject): readonly string[] | undefined {
  const { resource } = claims
  if (resource === undefined) return undefined
  const resources = Array.isArray(resource) ? resource : [resource]
  if (resources.length === 0) return refuseToken('claims')
  return resources.map((one) => (isName(one) && URL.canParse(one) ? one : refuseToken('claims')))
}

/**
 * The claim as a list (RFC 8693 §4.2). A scope that nobody here knows allows nothing, and limits as well.
 *
 * @throws {Refusal} `identity_invalid`, check `claims`
 */
export function parseScopes({ scope }: JsonObject): readonly string[] | undefined {
  if (scope === undefined) return undefined
  return isName(scope) ? scope.split(' ') : refuseToken('claims')
}

function isThumbprint(value: Json | undefined): value is string {
  return typeof value === 'string' && decodeBase64url(value)?.length === SHA256_BYTES
}

export function isName(value: Json | undefined): value is string {
  return typeof value === 'string' && value.length <= MAX_NAME_CHARACTERS && VISIBLE.test(value)
}
