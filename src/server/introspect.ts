/**
 * `POST /introspect` (RFC 7662, signed: RFC 9701) and `POST /revoke` (RFC 7009) for the broker's own
 * tokens.
 */
import type { Context } from 'koa'
import type { Form } from '../lib/form.ts'
import type { JsonObject } from '../lib/json.ts'
import { Refusal, refuse } from '../refusal.ts'
import { answerError, note } from './answer.ts'
import { takeForm } from './body.ts'
import type { AuthenticateClient } from './client-auth.ts'
import { wireError } from './errors.ts'
import { answerForm, INTROSPECTION_JWT, signIntrospection } from './introspect-jwt.ts'
import { type IssuedToken, readIssued } from './issued.ts'
import type { BrokerParts, Client } from './parts.ts'
import { revocationRecord } from './revocation-record.ts'

/** A token and what surrounds it; more cannot be meant. */
const BODY_BYTES = 64 * 1024

export interface TokenDesk {
  readonly parts: Pick<BrokerParts, 'broker' | 'keys' | 'publisher' | 'isSpent'>
  readonly authenticate: AuthenticateClient
  readonly clock: () => number
}

type Answer = (ctx: Context, client: Client, form: Form, now: number) => Promise<void>

/** Active means: signed by us, in time, not stopped, not known to be spent, and the asker's business. */
export function introspection(desk: TokenDesk): (ctx: Context) => Promise<void> {
  const { broker, keys, isSpent } = desk.parts
  return withClient(desk, 'introspection', async (ctx, client, form, now) => {
    ctx.set('Vary', 'Accept')
    const wanted = answerForm(ctx.req.headers.accept)
    if (wanted === undefined) {
      const description = `expected an Accept of application/json or ${INTROSPECTION_JWT}`
      return answerError(ctx, { status: 406, error: 'invalid_request', description })
    }
    const token = readIssued(theToken(form), { issuer: broker.issuer, keys, now })
    const active =
      token?.kind === 'access' &&
      maySee(client, token) &&
      !isStopped(token, now) &&
      !(await isSpent?.(token.claims))
    // RFC 7662 §2.2: why a token is not active is nobody's business.
    const told = active ? describe(token) : { active: false }
    await note(broker.audit, ctx, {
      door: 'introspection',
      now,
      outcome: 'event',
      reason: active ? 'introspected_active' : 'introspected_inactive',
      about: { workload: client.clientId, ...(active ? { jti: token.jti } : {}) },
    })
    if (wanted === 'json') {
      ctx.body = told
      return
    }
    // Not ctx.type: koa would add a charset, which the registered type does not have.
    ctx.set('Content-Type', INTROSPECTION_JWT)
    const about = { issuer: broker.issuer, audience: client.clientId, now }
    ctx.body = signIntrospection(told, about, broker.signingKey(now))
  })

  function isStopped(token: IssuedToken, now: number): boolean {
    try {
      broker.revocations.check(token.subject, now)
      return false
    } catch (error) {
      if (error instanceof Refusal && error.reason.code === 'revoked') return true
      throw error
    }
  }
}

/** Stops one token, and what hangs on it, before its time; 200 also when there is nothing to stop (RFC 7009 §2.2). */
export function revocation(desk: TokenDesk): (ctx: Context) => Promise<void> {
  const { broker, keys, publisher } = desk.parts
  return withClient(desk, 'revocation', async (ctx, client, form, now) => {
    const token = readIssued(theToken(form), { issuer: broker.issuer, keys, now })
    if (token !== undefined) {
      if (!mayStop(client, token)) {
        // RFC 7009 §2.1: a token of another client is refused, and the client is told.
        await note(broker.audit, ctx, {
          door: 'revocation',
          now,
          outcome: 'refused',
          reason: { code: 'client_rejected', detail: 'the token was not issued to this client' },
          about: { workload: client.clientId, jti: token.jti },
        })
        return answerError(ctx, {
          status: 400,
          error: 'unauthorized_client',
          description: 'the token was not issued to this client',
        })
      }
      const revocation = await publisher.revoke({
        target: { kind: 'jti', value: token.jti },
        until: token.expiresAt,
        reason: 'revoked at the revocation endpoint',
        // As on the admin side, so that nobody takes it for a person.
        by: `client:${client.clientId}`,
      })
      const address = ctx.req.socket.remoteAddress
      await broker.audit.record({
        ...revocationRecord(revocation, 'revocation'),
        ...(address === undefined ? {} : { address }),
      })
    }
    ctx.status = 200
    ctx.body = ''
  })
}

/** Form, client authentication, and the answer to every refusal. */
function withClient(desk: TokenDesk, door: string, answer: Answer) {
  const { audit } = desk.parts.broker
  return async (ctx: Context): Promise<void> => {
    const now = desk.clock()
    ctx.set('Cache-Control', 'no-store')
    try {
      const { form } = await takeForm(ctx.req, BODY_BYTES)
      const client = await desk.authenticate(form, ctx.req.headers.authorization, now)
      await answer(ctx, client, form, now)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const { reason } = error
      answerError(ctx, wireError(reason, { grant: 'token-exchange', token: 'session' }))
      // The answer is no already; a record that fails changes nothing for the caller.
      await note(audit, ctx, { door, now, outcome: 'refused', reason }).catch(() => undefined)
    }
  }
}

function theToken(form: Form): string {
  const token = form.get('token')
  if (token === undefined) refuse({ code: 'request_malformed', detail: 'token is missing' })
  return token
}

function maySee(client: Client, token: IssuedToken): boolean {
  if (client.scopes.includes('writ:admin')) return true
  return client.scopes.includes('writ:introspect') && client.resources.includes(token.audience)
}

/** RFC 7009 §2.1: whoever it was issued to, as a client or as the workload that the client is. */
function mayStop(client: Client, { clientId }: IssuedToken): boolean {
  if (client.scopes.includes('writ:admin')) return true
  return clientId === client.clientId || clientId === client.workload
}

/** What the token itself says, `act` and `via` included: whoever follows the feed needs both. */
function describe({ claims }: IssuedToken): JsonObject {
  const { cnf } = claims
  const bound = typeof cnf === 'object' && cnf !== null && 'jkt' in cnf
  return { active: true, ...claims, token_type: bound ? 'DPoP' : 'Bearer' }
}
