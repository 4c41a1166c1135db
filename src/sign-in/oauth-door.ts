/**
 * The OAuth endpoints of the command line, before oidc-provider.
 *
 * Every request for a device code or a token brings a DPoP proof, spent here in one step; oidc-provider
 * looks first and saves later. A device code belongs to the key that asked for it (RFC 8628 does not say
 * so): whoever overhears it gets nothing with another key.
 */
import type { Context } from 'koa'
import { withBody } from '../lib/form.ts'
import { Refusal } from '../refusal.ts'
import type { VerifiedProof } from '../token/dpop.ts'
import { KEPT, type OidcStore } from './adapter.ts'
import { type AdminReason, AdminRefusal } from './admin-refusal.ts'
import { receiveForm } from './body.ts'
import { CLI_CLIENT, DEVICE_GRANT, PATHS, ROLE_SCOPES } from './clients.ts'
import type { Asking } from './device-pages.ts'
import type { Limits } from './limits.ts'
import type { ProofDoor } from './proof-door.ts'
import { reasonOf, type Trail } from './trail.ts'

export interface OauthDoorParts {
  readonly store: OidcStore
  readonly proofs: ProofDoor
  readonly limits: Limits
  readonly trail: Trail
  readonly asking: WeakMap<object, Asking>
  /** Gives the request to oidc-provider. */
  provide(ctx: Context, request: Context['req']): Promise<void>
}

type Form = ReadonlyMap<string, string>

export function createOauthDoor(parts: OauthDoorParts): (ctx: Context) => Promise<void> {
  const { store, proofs, limits, trail } = parts

  return async function oauth(ctx) {
    let proof: VerifiedProof | undefined
    try {
      const address = ctx.req.socket.remoteAddress
      limits.count(ctx.path === PATHS.deviceAuthorization ? 'device' : 'token', address)
      const { form, bytes } = await receiveForm(ctx)
      if (form.get('client_id') !== CLI_CLIENT) throw new OauthError('invalid_client', 401)
      const request = withBody(ctx.req, bytes)
      // Ending one's own sign-in needs the token alone (RFC 7009).
      if (ctx.path !== PATHS.revocation) {
        if (ctx.path === PATHS.deviceAuthorization) checkScope(form)
        else checkGrant(form)
        proof = await proofs.prove(ctx)
        await proofs.spend(proof)
        if (form.get('grant_type') === DEVICE_GRANT) await checkDevice(form, proof)
        parts.asking.set(request, { jkt: proof.jkt })
      }
      await parts.provide(ctx, request)
    } catch (error) {
      const wire = wireOf(error)
      ctx.status = wire.status
      if (wire.retryAfterSeconds !== undefined) ctx.set('Retry-After', `${wire.retryAfterSeconds}`)
      ctx.body = { error: wire.error }
      await trail.refused(reasonOf(error) ?? { code: 'device_refused' }, {
        address: ctx.req.socket.remoteAddress,
        key: proof?.jkt,
        evidence: { client: CLI_CLIENT, error: wire.error },
      })
    }
  }

  async function checkDevice(form: Form, proof: VerifiedProof): Promise<void> {
    const code = form.get('device_code') ?? ''
    // What stands for a code inside is no code.
    if (code.startsWith(KEPT)) throw new OauthError('invalid_grant')
    const found = await store.find('DeviceCode', code)
    if (found !== undefined && found.deviceInfo?.jkt !== proof.jkt) {
      throw new OauthError('invalid_grant')
    }
  }
}

function checkGrant(form: Form): void {
  const grant = form.get('grant_type')
  if (grant !== DEVICE_GRANT && grant !== 'refresh_token') {
    throw new OauthError('unsupported_grant_type')
  }
}

/** Said at once, and not after a person has touched a passkey for nothing. */
function checkScope(form: Form): void {
  const scopes = form.get('scope')?.split(' ') ?? []
  if (scopes.length === 0 || !scopes.every((scope) => ROLE_SCOPES.includes(scope))) {
    throw new OauthError('invalid_scope')
  }
}

class OauthError extends Error {
  readonly error: string
  readonly status: number

  constructor(error: string, status = 400) {
    super(error)
    this.error = error
    this.status = status
  }
}

interface Wire {
  readonly status: number
  readonly error: string
  readonly retryAfterSeconds?: number
}

/** RFC 6749 §5.2, RFC 9449 §5. @throws what nobody expected */
function wireOf(error: unknown): Wire {
  if (error instanceof OauthError) return { status: error.status, error: error.error }
  if (error instanceof AdminRefusal) return wireOfReason(error.reason)
  if (error instanceof Refusal) {
    return { status: 503, error: 'temporarily_unavailable', retryAfterSeconds: 1 }
  }
  throw error
}

function wireOfReason(reason: AdminReason): Wire {
  switch (reason.code) {
    case 'signin_required':
      return { status: 400, error: 'invalid_dpop_proof' }
    case 'request_too_large':
      return { status: 413, error: 'invalid_request' }
    case 'too_many_requests': {
      const { retryAfterSeconds } = reason
      return { status: 429, error: 'slow_down', retryAfterSeconds }
    }
    default:
      return { status: 400, error: 'invalid_request' }
  }
}
