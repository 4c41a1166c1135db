/** What a broker of this configuration would make of a credential: the very provers it uses. */
import { pino } from 'pino'
import type { Config } from '../config/config.ts'
import { JWT_TOKEN_TYPE } from '../exchange/prove.ts'
import type { ProvenToken, Prover } from '../identity/presented.ts'
import { CertificateError } from '../identity/x509/certificate-error.ts'
import type { Json, JsonObject } from '../lib/json.ts'
import { openKeys } from '../mint/keys.ts'
import { type Reason, Refusal } from '../refusal.ts'
import { type DelegationClaims, isDelegationToken, verifyDelegation } from '../token/delegation.ts'
import { type Credential, type CredentialKind, likelyKind } from './credential.ts'
import { configured } from './settings.ts'
import { openTrust } from './trust.ts'
import { createWorkloadApis } from './workload-apis.ts'

export type Proven =
  | ProvenToken
  | { readonly kind: 'delegation'; readonly delegation: DelegationClaims }

export interface Verdict {
  readonly kind: CredentialKind
  readonly proven: Proven | undefined
  /** Why not; undefined when something was proven. */
  readonly refused: { readonly reason: Reason; readonly detail: string | undefined } | undefined
  /** What else the operator should know, one sentence each. */
  readonly notes: readonly string[]
}

/**
 * Asks whom the broker would ask (key sets, bundle endpoints, the Workload API, the cluster), writes
 * nothing, and spends nothing.
 *
 * @throws {CliError} configuration; {Refusal} `trust_unavailable` when the answer cannot be had now
 */
export async function judge(credential: Credential, config: Config, now: number): Promise<Verdict> {
  await using stack = new AsyncDisposableStack()
  const notes: string[] = []
  const write = (line: string) => notes.push(String(JSON.parse(line).msg))
  const log = pino({ level: 'warn' }, { write })
  const trust = await openTrust(config, createWorkloadApis(log, stack), { log, stack })
  const kind = kindFor(credential, config)
  notes.push(...notesOn(credential, config))
  try {
    const proven = await prove(credential, { kind, config, prover: trust.prover, stack, now })
    return { kind, proven, refused: undefined, notes }
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason.code === 'trust_unavailable') throw error
    const { reason, cause } = error
    const detail = cause instanceof CertificateError ? cause.message : undefined
    if (reason.code === 'identity_invalid' && reason.check === 'audience') {
      notes.push(`expected here: audience ${audiencesFor(credential, kind, config).join(' or ')}`)
    }
    return { kind, proven: undefined, refused: { reason, detail }, notes }
  }
}

async function prove(
  credential: Credential,
  context: {
    readonly kind: CredentialKind
    readonly config: Config
    readonly prover: Prover
    readonly stack: AsyncDisposableStack
    readonly now: number
  },
): Promise<Proven> {
  const { kind, config, prover, stack, now } = context
  if (credential.form === 'certificate') {
    const workload = prover.proveCertificate({ chain: credential.chain, resumed: false }, now)
    return { kind: 'workload', workload }
  }
  const { text } = credential
  if (isDelegationToken(text)) {
    const keys = await configured(() => openKeys(config.keys.directory, { now }))
    stack.defer(() => keys.close())
    const { issuer } = config
    const delegation = verifyDelegation(text, { issuer, keys: keys.verification(now), now })
    return { kind: 'delegation', delegation }
  }
  if (kind === 'client_assertion') {
    const client = { method: 'private_key_jwt', assertion: text, clientId: undefined } as const
    return { kind: 'workload', workload: (await prover.proveClient(client, now)).workload }
  }
  // The one type that every token fits: which it must be sent with is the sender's to know.
  return await prover.proveToken({ token: text, tokenType: JWT_TOKEN_TYPE }, now)
}

/** The configuration knows better than the look of it what the tokens of an issuer are. */
function kindFor(credential: Credential, { trust, clients, issuer }: Config): CredentialKind {
  const likely = likelyKind(credential)
  if (credential.form === 'certificate' || likely === 'delegation' || likely === 'jwt_svid') {
    return likely
  }
  const { iss, sub } = credential.claims
  if (iss === issuer) return likely
  const ofWorkloads = trust.issuers.find((one) => one.issuer === iss)
  if (ofWorkloads !== undefined) {
    return ofWorkloads.kind === 'oidc' ? 'workload_token' : ofWorkloads.kind
  }
  if (trust.users.some((one) => one.issuer === iss)) {
    return likely === 'access_token' || likely === 'id_jag' ? likely : 'id_token'
  }
  const isClient = iss === sub && clients.some((one) => one.clientId === sub)
  return isClient ? 'client_assertion' : likely
}

function audiencesFor(
  credential: Credential,
  kind: CredentialKind,
  { issuer, trust }: Config,
): readonly string[] {
  const iss = credential.form === 'token' ? credential.claims.iss : undefined
  const users = trust.users.find((one) => one.issuer === iss)
  if (users !== undefined && kind !== 'id_jag') return users.audiences
  return [trust.issuers.find((one) => one.issuer === iss)?.audience ?? issuer]
}

function notesOn(credential: Credential, { mtls, proxies, trust }: Config): string[] {
  if (credential.form === 'certificate') {
    const unreachable = mtls === undefined && proxies.length === 0
    return unreachable
      ? ['no certificate reaches this broker: it has neither an mTLS listener nor proxies']
      : []
  }
  const { iss } = credential.claims
  const asked = trust.issuers.some((one) => one.issuer === iss && one.tokenReview !== undefined)
  return asked ? ['the cluster is asked whether its pod still exists'] : []
}

/** For programs. */
export function describeProven(proven: Proven): JsonObject {
  if (proven.kind === 'workload') {
    const { id, issuer, attributes, expiresAt } = proven.workload
    return { kind: 'workload', id, issuer, attributes, endsAt: expiresAt }
  }
  if (proven.kind === 'user') {
    const { id, issuer, attributes, expiresAt, cnf, mayAct, act, clientId, resources } = proven.user
    const known = { kind: 'user', id, issuer, attributes, endsAt: expiresAt, cnf, mayAct, act }
    return JSON.parse(JSON.stringify({ ...known, clientId, resources })) as JsonObject
  }
  const { sub, client_id, may_act, cnf, exp } = proven.delegation
  const delegation: Record<string, Json> = { kind: 'delegation', id: sub, from: client_id }
  return { ...delegation, mayAct: may_act.sub, cnf: { ...cnf }, endsAt: exp }
}
