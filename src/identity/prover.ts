/** Which kind of proof something is, and who has to check it. */
import { hash } from 'node:crypto'
import { BoundedMap } from '../lib/bounded-map.ts'
import type { JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import { DELEGATION_TYP } from '../token/delegation.ts'
import { assertionVerifier, type KeyedClient } from './client-assertion.ts'
import { MAX_TOKEN_BYTES, readToken, refuseToken } from './issuers/issued-token.ts'
import type { Proof, TokenIssuer } from './issuers/token-issuer.ts'
import { checkDeclaredType } from './issuers/token-types.ts'
import type { JwtSvidProver } from './jwt-svid.ts'
import type { PresentedToken, ProvenClient, ProvenToken, Prover } from './presented.ts'
import { isSpiffeWorkload, parseSpiffeId } from './spiffe-id.ts'
import { proven, type Workload } from './workload.ts'

/** A registered client whose assertions prove a workload. */
export interface WorkloadClient extends KeyedClient {
  /** A SPIFFE ID. */
  readonly workload: string
}

export interface ProverOptions {
  /** The broker's own issuer. */
  readonly issuer: string
  readonly jwtSvid: JwtSvidProver
  /** Without it, no certificate proves anything. */
  readonly x509Svid?: { prove(chain: readonly Uint8Array[], now: number): Workload }
  /** Issuers whose tokens prove workloads. */
  readonly issuers?: readonly TokenIssuer[]
  /** Issuers whose tokens speak for people. */
  readonly users?: readonly TokenIssuer[]
  readonly clients?: readonly WorkloadClient[]
}

/** Proofs kept; about a kilobyte each. */
const MAX_REMEMBERED = 10_000
const MAX_ISSUER_CHARACTERS = 256

/** A text that was verified once. JWT-SVIDs have a memory of their own. */
type Remembered = 'jwt-svid' | { readonly issuer: TokenIssuer; readonly proof: Proof }

/**
 * The prover of a broker. What a token is follows from its content, never from the type its sender
 * declares: first the broker's own are refused, then `spiffe://` in `sub` leads to a trust domain,
 * then `iss` to a configured issuer. A name that leads nowhere opens no connection.
 *
 * Answers at once (no promise) for JWT-SVIDs, and for any token while its issuer's keys are at hand
 * and nobody else has to be asked.
 *
 * @throws {TypeError} when two issuers share a name, or a client's workload is no SPIFFE ID
 */
export function createProver(options: ProverOptions): Prover {
  const { issuer: ownIssuer, jwtSvid, x509Svid } = options
  const issuers = issuersByName(options)
  const workloadIssuers = new Map(options.issuers?.map((one) => [one.issuer, one.alias]))
  const clients = options.clients ?? []
  for (const { clientId, workload } of clients) {
    if (isSpiffeWorkload(workload)) continue
    throw new TypeError(`client ${clientId}: its workload is no SPIFFE ID`)
  }
  const verifyAssertion = assertionVerifier({ clients, issuer: ownIssuer })
  const remembered = new BoundedMap<string, Remembered>(MAX_REMEMBERED)

  function proveToken(presented: PresentedToken, now: number): ProvenToken | Promise<ProvenToken> {
    const { token } = presented
    // Before hashing: a stranger's megabyte costs nothing.
    if (token.length > MAX_TOKEN_BYTES) refuseToken('form')
    // The exact text is hashed: another spelling of the same token is not found and is read anew.
    const spelling = hash('sha256', token, 'base64url')
    const known = remembered.get(spelling)
    if (known === undefined) return proveNew(presented, spelling, now)
    if (known === 'jwt-svid') return proveSvid(presented, now)
    const { issuer, proof } = known
    const holds = issuer.holds(proof, now)
    const decide = (still: boolean) => {
      if (still) return confirmed(presented, issuer, proof)
      remembered.delete(spelling)
      return proveNew(presented, spelling, now)
    }
    return holds instanceof Promise ? holds.then(decide) : decide(holds)
  }

  function proveNew(
    presented: PresentedToken,
    spelling: string,
    now: number,
  ): ProvenToken | Promise<ProvenToken> {
    const jws = readToken(presented.token)
    const { iss, sub } = jws.payload
    // A delegation token is verified by the exchange, which knows what it delegates.
    if (jws.header.typ === DELEGATION_TYP || iss === ownIssuer) refuseToken('typ')
    if (typeof sub === 'string' && /^spiffe:\/\//i.test(sub)) {
      const result = proveSvid(presented, now)
      remembered.set(spelling, 'jwt-svid')
      return result
    }
    const issuer = issuerOf(jws.payload)
    const finish = (proof: Proof) => {
      const result = confirmed(presented, issuer, proof)
      remembered.set(spelling, { issuer, proof })
      return result
    }
    const proof = issuer.prove(jws, workloadIssuers, now)
    return proof instanceof Promise ? proof.then(finish) : finish(proof)
  }

  function proveSvid({ token, tokenType }: PresentedToken, now: number): ProvenToken {
    checkDeclaredType(tokenType, 'jwt')
    return { kind: 'workload', workload: jwtSvid.prove(token, now) }
  }

  function confirmed(
    { token, tokenType }: PresentedToken,
    issuer: TokenIssuer,
    proof: Proof,
  ): ProvenToken | Promise<ProvenToken> {
    checkDeclaredType(tokenType, proof.kind)
    const asked = issuer.confirm(token, proof)
    return asked instanceof Promise ? asked.then(() => proof.result) : proof.result
  }

  function issuerOf({ iss }: JsonObject): TokenIssuer {
    if (typeof iss !== 'string') return refuseToken('issuer')
    const known = issuers.get(iss)
    if (known !== undefined) return known
    return refuse({ code: 'identity_unknown_issuer', issuer: iss.slice(0, MAX_ISSUER_CHARACTERS) })
  }

  return {
    proveToken,
    proveCertificate({ chain, resumed }, now) {
      // The key was proved to someone, in an earlier connection; nothing was verified in this one.
      if (resumed) refuseToken('resumed')
      if (x509Svid === undefined) return refuseToken('certificate')
      return x509Svid.prove(chain, now)
    },
    proveClient({ method, assertion, clientId }, now): ProvenClient {
      if (method === 'spiffe_jwt') {
        const workload = jwtSvid.prove(assertion, now)
        if (clientId !== undefined && clientId !== workload.id) {
          refuse({ code: 'client_rejected', detail: 'client_id differs' })
        }
        return { workload, spend: undefined }
      }
      if (method !== 'private_key_jwt') {
        refuse({ code: 'client_rejected', detail: 'the method has no assertion' })
      }
      const { client, expiresAt, credential, spend } = verifyAssertion(assertion, clientId, now)
      const workload = proven({
        id: client.workload,
        kind: 'spiffe',
        issuer: parseSpiffeId(client.workload).trustDomain,
        expiresAt,
        credential,
        attributes: { client_id: client.clientId },
      })
      return { workload, spend }
    },
  }
}

function issuersByName({
  issuer: own,
  issuers = [],
  users = [],
}: ProverOptions): Map<string, TokenIssuer> {
  const named = new Map<string, TokenIssuer>()
  const aliases = new Set<string>()
  for (const one of [...issuers, ...users]) {
    const { issuer, alias, proves } = one
    if (issuer === own) throw new TypeError(`${alias}: the broker's own issuer proves no identity`)
    if (named.has(issuer)) throw new TypeError(`issuer ${issuer} is listed twice`)
    if (aliases.has(`${proves} ${alias}`)) throw new TypeError(`alias ${alias} is listed twice`)
    if (proves !== (users.includes(one) ? 'user' : 'workload')) {
      throw new TypeError(`${alias}: its tokens prove a ${proves}`)
    }
    named.set(issuer, one)
    aliases.add(`${proves} ${alias}`)
  }
  return named
}
