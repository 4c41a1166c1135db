/** A token request's form → what the exchange wants to know. Believes nothing, verifies nothing. */
import type { ExchangeRequest } from '../exchange/broker.ts'
import { type Json, JsonError, parseJson } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import type { Form } from './form.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

/** The arguments are at most 1 MiB; the element around them takes a little more. */
const DETAILS_LIMITS = { maxBytes: 1024 * 1024 + 16 * 1024, maxDepth: 64 }

type Asked = Pick<ExchangeRequest, 'door' | 'subject' | 'resource' | 'details'>

/** @throws {Refusal} `request_malformed`, `client_rejected`, `server_unknown`, `details_invalid` */
export function readTokenExchange(form: Form): Asked {
  refuseClientAuthentication(form)
  // RFC 8693 §2.1: actor_token_type must not come without actor_token. Delegation by actor token is
  // not offered, and ignoring it would issue a token that says something else than was asked.
  if (form.has('actor_token') || form.has('actor_token_type')) {
    malformed('actor_token is not supported')
  }
  const requested = form.get('requested_token_type')
  if (requested !== undefined && requested !== ACCESS_TOKEN_TYPE && requested !== JWT_TYPE) {
    malformed('only access tokens are issued')
  }
  return {
    door: 'token-exchange',
    subject: {
      token: required(form, 'subject_token'),
      tokenType: required(form, 'subject_token_type'),
    },
    ...readTarget(form),
  }
}

/** RFC 7523 §2.1, as MCP's workload identity federation sends it. */
export function readJwtBearer(form: Form): Asked {
  refuseClientAuthentication(form)
  return {
    door: 'jwt-bearer',
    subject: { token: required(form, 'assertion'), tokenType: JWT_TYPE },
    ...readTarget(form),
  }
}

function readTarget(form: Form): Pick<Asked, 'resource' | 'details'> {
  // RFC 8707 §2: a missing resource is an invalid target.
  const resource = form.get('resource')
  if (resource === undefined) refuse({ code: 'server_unknown', server: '' })
  const audience = form.get('audience')
  if (audience !== undefined && audience !== resource) {
    refuse({ code: 'server_unknown', server: audience.slice(0, 200) })
  }
  const details = form.get('authorization_details')
  return { resource, details: details === undefined ? undefined : parseDetails(details) }
}

function parseDetails(text: string): Json {
  try {
    return parseJson(text, DETAILS_LIMITS)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    refuse({ code: 'details_invalid', detail: 'not strict JSON' }, error)
  }
}

/**
 * The proof of identity is the only authentication at these doors. Client authentication that nobody
 * checks must not look as if it had been accepted (RFC 6749 §3.2.1).
 */
function refuseClientAuthentication(form: Form): void {
  if (form.has('client_assertion') || form.has('client_secret')) {
    refuse({ code: 'client_rejected', detail: 'this grant takes no client authentication' })
  }
}

function required(form: Form, name: string): string {
  const value = form.get(name)
  if (value === undefined) malformed(`${name} is missing`)
  return value
}

function malformed(detail: string): never {
  refuse({ code: 'request_malformed', detail })
}
