/**
 * oidc-provider as the authorization server for people: the console's sign-in with PKCE and the device
 * flow of the command line. Every token is opaque, so it signs nothing. Its interaction is one passkey
 * ceremony, asked for every time: it remembers nobody, which is what our idle limit rests on.
 */
import { generateKeyPairSync } from 'node:crypto'
import Provider, {
  type Configuration,
  errors,
  interactionPolicy,
  type KoaContextWithOIDC,
} from 'oidc-provider'
import type { OidcStore } from './adapter.ts'
import {
  CLI_CLIENT,
  cliClient,
  consoleClient,
  PATHS,
  PROVIDER_COOKIE,
  ROLE_SCOPES,
} from './clients.ts'
import type { DevicePages } from './device-pages.ts'
import type { Site } from './options.ts'

const ACCESS_TOKEN_SECONDS = 900
const INTERACTION_SECONDS = 600
const DEVICE_CODE_SECONDS = 600
const CODE_SECONDS = 60

export interface ProviderParts {
  readonly site: Site
  readonly store: OidcStore
  readonly pages: DevicePages
  readonly absoluteSeconds: number
  readonly clock: () => number
  /** Whether this person is still there, and a touch of that time counts. */
  personExists(id: string, touchedAt: number | undefined): Promise<boolean>
  /** Records a token before it leaves; without a record there is none. */
  recordToken(ctx: KoaContextWithOIDC, person: string): Promise<void>
}

export function createSignInProvider(parts: ProviderParts): Provider {
  const { site, store, pages, clock } = parts
  const cookie = { httpOnly: true, secure: true, sameSite: 'lax', signed: false } as const
  /** A sign-in ends so long after the passkey was touched, however often it was renewed. */
  const left = (authTime: number | undefined) =>
    Math.max(1, Math.floor((authTime ?? clock()) + parts.absoluteSeconds - clock()))
  const provider: Provider = new Provider(site.url, {
    adapter: (name: string) => store.adapter(name),
    clients: [consoleClient(site), cliClient()],
    // It insists on a key. This one is made at each start, never published, and signs nothing.
    jwks: { keys: [unusedKey()] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clientAuthMethods: ['none'],
    cookies: {
      names: {
        session: PROVIDER_COOKIE,
        interaction: '__Secure-writ_interaction',
        resume: '__Secure-writ_resume',
      },
      // Lax, because a sign-in may begin with a link from elsewhere and goes on by redirects.
      long: { ...cookie, path: '/' },
      short: cookie,
      keys: [],
    },
    responseTypes: ['code'],
    scopes: [],
    claims: {},
    pkce: { required: () => true },
    formats: { bitsOfOpaqueRandomness: 256 },
    interactions: {
      policy: passkeyEveryTime(),
      async url(ctx, interaction) {
        // Its own cookie holds what the address says, and a neighbouring host could set it elsewhere.
        const session = ctx.oidc.session as unknown as { uid: string; touched: boolean }
        // So that it is kept, and this browser given the cookie for it.
        session.touched = true
        interaction.session = { uid: session.uid } as typeof interaction.session
        await interaction.persist()
        return `${site.url}${PATHS.interaction}/${interaction.uid}`
      },
    },
    async findAccount(_ctx, id, token) {
      const touchedAt = (token as { authTime?: number } | undefined)?.authTime
      if (!(await parts.personExists(id, touchedAt))) return undefined
      return { accountId: id, claims: () => ({ sub: id }) }
    },
    loadExistingGrant: (ctx) => newGrant(provider, ctx, site),
    issueRefreshToken: (_ctx, client) => client.clientId === CLI_CLIENT,
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    revokeGrantPolicy: () => true,
    async extraTokenClaims(ctx, token) {
      const { authTime, accountId } = sourceOf(ctx)
      if (token.kind === 'AccessToken') await parts.recordToken(ctx, accountId)
      return { authTime }
    },
    ttl: {
      AccessToken: (ctx) => Math.min(ACCESS_TOKEN_SECONDS, left(sourceOf(ctx).authTime)),
      RefreshToken: (_ctx, token) => left((token as { authTime?: number }).authTime),
      AuthorizationCode: CODE_SECONDS,
      DeviceCode: DEVICE_CODE_SECONDS,
      Interaction: INTERACTION_SECONDS,
      Session: INTERACTION_SECONDS,
      Grant: parts.absoluteSeconds,
    },
    routes: {
      authorization: PATHS.authorization,
      token: PATHS.token,
      device_authorization: PATHS.deviceAuthorization,
      code_verification: PATHS.device,
      revocation: PATHS.revocation,
    },
    renderError: pages.error,
    features: {
      devInteractions: { enabled: false },
      userinfo: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
      },
      // Verified and spent before a request comes here (`oauth-door.ts`); this binds the tokens.
      dPoP: { enabled: true, allowReplay: true },
      deviceFlow: {
        enabled: true,
        charset: 'base-20',
        mask: '****-****',
        deviceInfo: pages.deviceInfo,
        userCodeInputSource: pages.input,
        userCodeConfirmSource: pages.confirm,
        successSource: pages.success,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => site.url,
        useGrantedResource: () => true,
        getResourceServerInfo(_ctx, resource) {
          if (resource !== site.url) throw new errors.InvalidTarget()
          const scope = ROLE_SCOPES.join(' ')
          return { scope, audience: site.url, accessTokenFormat: 'opaque' }
        },
      },
    },
  } as Configuration)
  answerAs(provider, site)
  return provider
}

/** What it says of itself comes from the configuration and never from `Host` or the request line. */
function answerAs(provider: Provider, site: Site): void {
  const fixed = { host: site.host, protocol: site.protocol, origin: site.origin, href: site.url }
  for (const [name, value] of Object.entries({ ...fixed, secure: true })) {
    Object.defineProperty(provider.request, name, { get: () => value })
  }
}

function passkeyEveryTime() {
  const { Check, Prompt, base } = interactionPolicy
  const policy = base()
  policy.clear()
  policy.add(
    new Prompt(
      { name: 'login', requestable: false },
      new Check('passkey', 'a passkey has to be touched', (ctx) => !ctx.oidc.result?.login),
    ),
  )
  return policy
}

/** Both clients are our own: what a person agrees to is said on the page before the passkey. */
async function newGrant(provider: Provider, ctx: KoaContextWithOIDC, site: Site) {
  const grant = new provider.Grant({
    accountId: ctx.oidc.account!.accountId,
    clientId: ctx.oidc.client!.clientId,
  })
  const asked = [...ctx.oidc.requestParamScopes].filter((scope) => ROLE_SCOPES.includes(scope))
  if (asked.length > 0) grant.addResourceScope(site.url, asked.join(' '))
  await grant.save()
  return grant
}

interface Source {
  readonly authTime?: number
  readonly accountId: string
}

/** What a token is given for: the code, the device code, or the refresh token before it. */
function sourceOf(ctx: KoaContextWithOIDC): Source {
  const { AuthorizationCode, DeviceCode, RefreshToken } = ctx.oidc.entities
  const source = AuthorizationCode ?? DeviceCode ?? RefreshToken
  if (source === undefined) throw new Error('a token without a code or a refresh token')
  return source as unknown as Source
}

function unusedKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ format: 'jwk' }) as never
}
