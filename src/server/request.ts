/** A token request's form → what the exchange wants to know. Believes nothing, verifies nothing. */
import type { ExchangeRequest } from '../exchange/broker.ts'
import { JWT_TOKEN_TYPE } from '../exchange/prove.ts'
import type { PresentedToken } from '../identity/presented.ts'
import type { Form } from '../lib/form.ts'
import { type Json, JsonError, parseJson } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import { DELEGATION_TOKEN_TYPE } from '../token/delegation.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const CLIENT_CREDENTIALS = 'client_credentials'
const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

/** The arguments are at most 1 MiB; the element around them takes a little more. */
const DETAILS_LIMITS = { maxBytes: 1024 * 1024 + 16 * 1024, maxDepth: 64 }
/** RFC 7638 with SHA-256. */
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/

/** What a grant says; who the client is, and which key it holds, is read elsewhere. */
export type Asking = Pick<
  ExchangeRequest,
  'door' | 'subject' | 'actor' | 'resource' | 'details' | 'delegateTo'
>

/** What only token exchange has. */
const EXCHANGE_ALONE = ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type']

type Grant = (form: Form) => Asking

/** @throws {Refusal} `request_malformed`, `server_unknown`, `details_invalid` */
export const GRANTS: ReadonlyMap<string, Grant> = new Map<string, Grant>([
  [TOKEN_EXCHANGE, readTokenExchange],
  [JWT_BEARER, readJwtBearer],
  [CLIENT_CREDENTIALS, readClientCredentials],
])

/** RFC 8693 §2.1. */
function readTokenExchange(form: Form): Asking {
  refuseToPassOver(form, ['assertion'])
  const subject = {
    token: required(form, 'subject_token'),
    tokenType: required(form, 'subject_token_type'),
  }
  const asking = { door: 'token-exchange', subject, actor: readActor(form) }
  return { ...asking, ...readWanted(form) }
}

/** RFC 7523 §2.1, as MCP's workload identity federation and ID-JAG send it. */
function readJwtBearer(form: Form): Asking {
  refuseToPassOver(form, EXCHANGE_ALONE)
  const subject = { token: required(form, 'assertion'), tokenType: JWT_TOKEN_TYPE }
  return { door: 'jwt-bearer', subject, actor: undefined, ...readTarget(form) }
}

/** RFC 6749 §4.4: client authentication alone says who asks. */
function readClientCredentials(form: Form): Asking {
  refuseToPassOver(form, ['assertion', ...EXCHANGE_ALONE])
  const door = CLIENT_CREDENTIALS
  return { door, subject: undefined, actor: undefined, ...readWanted(form) }
}

function readWanted(form: Form): Pick<Asking, 'resource' | 'details' | 'delegateTo'> {
  return form.get('requested_token_type') === DELEGATION_TOKEN_TYPE
    ? readDelegation(form)
    : readTarget(form)
}

/** RFC 8693 §2.1: each of the two must not come without the other. */
function readActor(form: Form): PresentedToken | undefined {
  if (!form.has('actor_token') && !form.has('actor_token_type')) return undefined
  return {
    token: required(form, 'actor_token'),
    tokenType: required(form, 'actor_token_type'),
  }
}

function readTarget(form: Form): Pick<Asking, 'resource' | 'details' | 'delegateTo'> {
  const requested = form.get('requested_token_type')
  if (requested !== undefined && requested !== ACCESS_TOKEN_TYPE && requested !== JWT_TOKEN_TYPE) {
    malformed('no token of the requested_token_type is issued here')
  }
  refuseToPassOver(form, ['may_act', 'may_act_jkt'])
  // RFC 8707 §2: a missing resource is an invalid target.
  const resource = form.get('resource')
  if (resource === undefined) refuse({ code: 'server_unknown', server: '' })
  const audience = form.get('audience')
  if (audience !== undefined && audience !== resource) {
    refuse({ code: 'server_unknown', server: audience })
  }
  return { resource, details: readDetails(form), delegateTo: undefined }
}

/** A delegation token is for this broker, and names its targets in the ceiling: it has no resource. */
function readDelegation(form: Form): Pick<Asking, 'resource' | 'details' | 'delegateTo'> {
  refuseToPassOver(form, ['resource', 'audience'])
  const workload = required(form, 'may_act')
  const jkt = required(form, 'may_act_jkt')
  if (!THUMBPRINT.test(jkt)) malformed('may_act_jkt is not a SHA-256 thumbprint')
  return { resource: undefined, details: readDetails(form), delegateTo: { workload, jkt } }
}

function readDetails(form: Form): Json | undefined {
  const text = form.get('authorization_details')
  if (text === undefined) return undefined
  try {
    return parseJson(text, DETAILS_LIMITS)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    refuse({ code: 'details_invalid', detail: 'not strict JSON' }, error)
  }
}

/** To ignore one of these would issue a token that says something else than was asked. */
function refuseToPassOver(form: Form, names: readonly string[]): void {
  for (const name of names) if (form.has(name)) malformed(`${name} has no meaning here`)
}

function required(form: Form, name: string): string {
  const value = form.get(name)
  if (value === undefined) malformed(`${name} is missing`)
  return value
}

function malformed(detail: string): never {
  refuse({ code: 'request_malformed', detail })
}
