/**
 * oidc-provider, as the authorization server for clients with keys of their own.
 *
 * It answers `client_credentials` with `private_key_jwt`, for the broker itself and for its admin
 * side; people sign in at another one (`sign-in/`). What is ours stays ours: DPoP is verified before it
 * (`token.ts`), tokens are minted and recorded here with the broker's keys, replays are claimed
 * atomically in the ledger, and metadata and keys are served from one truth. It keeps no state, so its
 * adapter keeps none.
 */
import { generateKeyPairSync } from 'node:crypto'
import type { Context } from 'koa'
import Provider, { type Configuration, errors } from 'oidc-provider'
import type { Broker } from '../exchange/broker.ts'
import {
  assertionFault,
  CLIENT_ALGORITHMS,
  CLOCK_SKEW_SECONDS,
  headerFault,
  madeFrom,
} from '../identity/client-assertion.ts'
import type { SigningKeys } from '../mint/keys.ts'
import { mintToken, newJti } from '../mint/mint.ts'
import { refuse } from '../refusal.ts'
import { sessionId } from '../token/session-id.ts'
import { note } from './answer.ts'
import { spendAssertion } from './client-auth.ts'
import type { Proven } from './hosted-door.ts'
import { CLIENT_SCOPES, type Client } from './parts.ts'

/** The grants this provider answers. */
export const HOSTED_GRANTS: ReadonlySet<string> = new Set(['client_credentials'])
const CLIENT_TOKEN_SECONDS = 300

export interface ProviderParts {
  readonly broker: Broker
  readonly keys: Pick<SigningKeys, 'current'>
  readonly clients: readonly Client[]
  /** The admin listener's external URL; without it no token is issued for the admin side. */
  readonly adminUrl?: string
  readonly clock: () => number
}

/** What a client may ask of the admin side. */
const ADMIN_SCOPES = CLIENT_SCOPES.filter((scope) => /^writ:(?:viewer|approver|admin)$/.test(scope))

export function createProvider(parts: ProviderParts): Provider {
  const { broker, clock } = parts
  const { issuer } = broker
  const provider = new Provider(issuer, {
    adapter: NoAdapter,
    clients: parts.clients.map(toMetadata),
    // It insists on a key. This one is made at each start, never published, and signs nothing.
    jwks: { keys: [unusedKey()] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: [...CLIENT_ALGORITHMS] },
    responseTypes: [],
    scopes: [...CLIENT_SCOPES],
    clockTolerance: CLOCK_SKEW_SECONDS,
    ttl: { ClientCredentials: CLIENT_TOKEN_SECONDS },
    routes: { token: '/token' },
    async assertJwtClientAuthClaimsAndHeader(ctx, claims, header) {
      const fault = headerFault({ ...header }) ?? assertionFault(claims, { issuer, now: clock() })
      if (fault !== undefined) throw new errors.InvalidClientAuth(fault)
      const { iat, exp } = claims as { iat?: unknown; exp: number }
      ;(ctx as unknown as Context).state.assertionMadeFrom = madeFrom({ iat, exp })
    },
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      clientCredentials: { enabled: true },
      // Verified and spent before a request comes here; see `token.ts`.
      dPoP: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => issuer,
        getResourceServerInfo(_ctx, resource) {
          // Tokens for MCP servers come out of the exchange and nowhere else.
          if (resource !== issuer && resource !== parts.adminUrl) throw new errors.InvalidTarget()
          const scopes = resource === issuer ? CLIENT_SCOPES : ADMIN_SCOPES
          return { scope: scopes.join(' '), audience: resource, accessTokenFormat: 'opaque' }
        },
      },
    },
  } as Configuration)
  claimReplaysAtomically(provider, broker)
  mintClientTokens(provider, parts)
  provider.proxy = false
  return provider
}

/**
 * Its own detection looks first and saves later, and joins client and `jti` without a separator: forty
 * uses of one assertion at once all pass, and "a" + "bc" is "ab" + "c".
 */
function claimReplaysAtomically(provider: Provider, broker: Broker): void {
  const detection = provider.ReplayDetection as unknown as {
    unique(iss: string, jti: string, exp: number): Promise<boolean>
  }
  detection.unique = (clientId, jti, until) => {
    const { state } = Provider.ctx as unknown as Context
    const earliest: unknown = state.assertionMadeFrom
    return spendAssertion(
      broker.ledger,
      { clientId, jti, until },
      typeof earliest === 'number' ? earliest : madeFrom({ exp: until }),
    )
  }
}

interface ClientToken {
  jti: string
  clientId: string
  /** Of the resource that was asked for. */
  readonly aud: string
  scope?: string
  jkt?: string
  readonly expiration: number
}

/** The broker's keys, the sender's key, and a record before the token leaves, as everywhere else. */
function mintClientTokens(provider: Provider, { broker, keys, clock }: ProviderParts): void {
  const model = provider.ClientCredentials.prototype as unknown as {
    getValueAndPayload(this: ClientToken): Promise<{ value: string }>
  }
  model.getValueAndPayload = async function mint() {
    const ctx = Provider.ctx as unknown as Context
    const proven = ctx.state.proven as Proven | undefined
    if (proven === undefined) refuse({ code: 'binding_missing' })
    const { jkt } = proven.proof
    // Makes the answer say `token_type: DPoP`.
    this.jkt = jkt
    const now = clock()
    const iat = Math.floor(now)
    const claims = {
      iss: broker.issuer,
      aud: this.aud,
      sub: this.clientId,
      client_id: this.clientId,
      jti: newJti(),
      iat,
      exp: iat + this.expiration,
      sid: sessionId(this.clientId, this.clientId, { jkt }),
      scope: this.scope ?? '',
      cnf: { jkt },
    }
    const key = keys.current(now)
    await note(broker.audit, ctx, {
      door: 'client_credentials',
      now,
      outcome: 'issued',
      about: {
        workload: claims.client_id,
        principal: claims.sub,
        session: claims.sid,
        server: claims.aud,
        jti: claims.jti,
        key: jkt,
        expiresAt: claims.exp,
      },
    })
    return { value: mintToken(claims, key) }
  }
}

function toMetadata(client: Client) {
  return {
    client_id: client.clientId,
    token_endpoint_auth_method: 'private_key_jwt' as const,
    grant_types: [...HOSTED_GRANTS],
    response_types: [],
    redirect_uris: [],
    scope: client.scopes.join(' '),
    jwks: client.jwks as never,
  }
}

function unusedKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ format: 'jwk' }) as never
}

/**
 * Clients come from the configuration, replays go to the ledger, tokens are not stored. Anything
 * else would need a store with atomic consumption; until there is one, asking for it is an error.
 */
class NoAdapter {
  readonly #model: string

  constructor(model: string) {
    this.#model = model
  }

  async find(): Promise<undefined> {
    if (this.#model !== 'Client') this.#refuse()
  }

  async upsert(): Promise<never> {
    return this.#refuse()
  }

  async consume(): Promise<never> {
    return this.#refuse()
  }

  async destroy(): Promise<never> {
    return this.#refuse()
  }

  async findByUid(): Promise<never> {
    return this.#refuse()
  }

  async findByUserCode(): Promise<never> {
    return this.#refuse()
  }

  async revokeByGrantId(): Promise<never> {
    return this.#refuse()
  }

  #refuse(): never {
    throw new Error(`${this.#model} is not kept by this broker`)
  }
}
