/** The doors that end in the one sequence of `exchange/`: a form goes in, a token's answer comes out. */
import type { Context } from 'koa'
import type { Broker, Granted } from '../exchange/broker.ts'
import { exchange } from '../exchange/exchange.ts'
import type { PresentedClient, Prover } from '../identity/presented.ts'
import type { Form } from '../lib/form.ts'
import { headerValues } from '../lib/raw-headers.ts'
import { Refusal, refuse } from '../refusal.ts'
import type { PresentedCertificate } from '../token/certificate.ts'
import type { Certificates } from './client-certificate.ts'
import type { Asked } from './errors.ts'
import { namesCertificate, readClient } from './presented-client.ts'
import { GRANTS } from './request.ts'

/** What is known of a request while it is answered. */
export interface Visit {
  door: string
  asked: Asked
  /** Whether the exchange has taken over, which records what it refuses. */
  recorded?: boolean
}

export interface ExchangeDoor {
  answer(ctx: Context, form: Form, visit: Visit, now: number): Promise<void>
}

/**
 * @param endpoint the external URL of this token endpoint, which proofs of possession must name
 * @param certificates the certificate of each request
 */
export function exchangeDoor(
  broker: Broker,
  endpoint: string,
  certificates: Certificates,
): ExchangeDoor {
  const ofClients = new WeakSet<Refusal>()
  const prover = { value: noticingProver(broker, ofClients) }
  const noticing: Broker = Object.create(broker, { prover })

  async function answer(ctx: Context, form: Form, visit: Visit, now: number): Promise<void> {
    const grant = form.get('grant_type') ?? ''
    const read = GRANTS.get(grant)
    if (read === undefined) refuse({ code: 'grant_unsupported', grant })
    const token = form.has('authorization_details') ? 'action' : 'session'
    visit.asked = { grant: doorOf(grant), token }
    visit.door = visit.asked.grant
    const proofHeaders = headerValues(ctx.req, 'dpop')
    const certificate = certificateOf(ctx, visit)
    const { authorization } = ctx.req.headers
    const client = readClient(form, { authorization, proved: certificate !== undefined })
    const peer = certificates.strangerOf(ctx.req)
    // A field that nobody may send us is no reason to refuse what does without it.
    const needed =
      certificate === undefined && (proofHeaders.length === 0 || namesCertificate(form))
    if (peer !== undefined && needed) refuse({ code: 'certificate_untrusted', peer })
    const request = {
      ...read(form),
      client,
      certificate,
      endpoint,
      proofHeaders,
      method: ctx.method,
      address: ctx.req.socket.remoteAddress,
      now,
    }
    // From here on the exchange records its own refusals.
    visit.recorded = true
    try {
      ctx.body = answerOf(await exchange(request, noticing))
    } catch (error) {
      const ofClient =
        error instanceof Refusal && (ofClients.has(error) || isConflict(error, client))
      visit.asked = { ...visit.asked, client: ofClient }
      throw error
    }
  }

  function certificateOf(ctx: Context, visit: Visit): PresentedCertificate | undefined {
    try {
      return certificates.of(ctx.req)
    } catch (error) {
      visit.asked = { ...visit.asked, client: true }
      throw error
    }
  }

  return { answer }
}

/** A reason alone does not say whose proof it is about, and the wire's words depend on that. */
function noticingProver(broker: Broker, ofClients: WeakSet<Refusal>): Prover {
  const notice = (error: unknown): never => {
    if (error instanceof Refusal) ofClients.add(error)
    throw error
  }
  return {
    proveToken: (presented, now) => broker.prover.proveToken(presented, now),
    proveCertificate(certificate, now) {
      try {
        return broker.prover.proveCertificate(certificate, now)
      } catch (error) {
        return notice(error)
      }
    },
    async proveClient(client, now) {
      try {
        return await broker.prover.proveClient(client, now)
      } catch (error) {
        return notice(error)
      }
    },
  }
}

/** The client says, or proves, to be someone else than the rest of the request does. */
function isConflict({ reason }: Refusal, client: PresentedClient | undefined): boolean {
  return reason.code === 'identity_conflict' && client !== undefined
}

function answerOf(granted: Granted): Record<string, unknown> {
  const { serverSpiffeId, details } = granted
  return {
    access_token: granted.token,
    issued_token_type: granted.issuedTokenType,
    token_type: granted.tokenType,
    expires_in: granted.expiresInSeconds,
    scope: granted.scope,
    ...(details === undefined ? {} : { authorization_details: details }),
    ...(serverSpiffeId === undefined ? {} : { server_spiffe_id: serverSpiffeId }),
  }
}

/** A grant's last name is the door's: `token-exchange`, `jwt-bearer`, `client_credentials`. */
function doorOf(grant: string): Asked['grant'] {
  return grant.slice(grant.lastIndexOf(':') + 1) as Asked['grant']
}
