/**
 * A broker of one page for the SDK matrix: it grants whatever is asked, as the real one would if its
 * policy said yes, with the same proofs, details, signatures and revocation feed.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { hashDefinition } from '../../src/action/hash.ts'
import { grantDetail, parseRequestedDetails } from '../../src/action/mcp-action.ts'
import { type JsonObject, parseJson } from '../../src/lib/json.ts'
import { mintToken, newJti } from '../../src/mint/mint.ts'
import { feedStream } from '../../src/revocation/http-feed.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { ACTION_SCOPE, SESSION_SCOPE, type TokenClaims } from '../../src/token/claims.ts'
import { verifyProof } from '../../src/token/dpop.ts'
import { localKeySet } from '../../src/token/key-set.ts'
import { sessionId } from '../../src/token/session-id.ts'
import { AGENT, signingKey } from '../verifier/rig.ts'

export interface Issuer {
  readonly url: string
  readonly publisher: RevocationPublisher
  /** What an agent gives as its proof of identity; this issuer does not look at it. */
  readonly identity: () => string
  sign(claims: TokenClaims): string
  close(): Promise<void>
}

export async function startIssuer(definitions: readonly JsonObject[]): Promise<Issuer> {
  const key = signingKey()
  const keys = localKeySet({ keys: [key.publicJwk] }, ['ES256'])
  const http = createServer()
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const transport = memoryFeed()
  const publisher = new RevocationPublisher({ issuer: url, key: () => key, keys, transport })
  await publisher.start()
  const hashes = new Map(definitions.map((one) => [one.name, hashDefinition(one)]))

  async function grant(form: URLSearchParams, proofs: string[]): Promise<object> {
    const now = Date.now() / 1000
    const { jkt } = await verifyProof(proofs, { method: 'POST', url: `${url}/token`, now })
    const asked = form.get('authorization_details')
    const action = asked === null ? undefined : parseRequestedDetails(parseJson(asked)).action
    const definitionHash = action === undefined ? undefined : hashes.get(action.identifier)
    const details = action && [grantDetail(action, { definitionHash, maxUses: 1 })]
    const iat = Math.floor(now)
    const claims: TokenClaims = {
      iss: url,
      aud: form.get('resource') ?? '',
      sub: AGENT,
      client_id: AGENT,
      jti: newJti(),
      iat,
      exp: iat + 60,
      sid: sessionId(AGENT, AGENT, { jkt }),
      ...(action?.task === undefined ? {} : { txn: action.task }),
      scope: action === undefined ? SESSION_SCOPE : ACTION_SCOPE,
      ...(details === undefined ? {} : { authorization_details: details as never }),
      cnf: { jkt },
    }
    return {
      access_token: mintToken(claims, key),
      token_type: 'DPoP',
      expires_in: 60,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      ...(details === undefined ? {} : { authorization_details: details as never }),
    }
  }

  http.on('request', async (req, res) => {
    const answer = (json: object) =>
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(json))
    switch (req.url) {
      case '/.well-known/oauth-authorization-server':
        return answer({ issuer: url, token_endpoint: `${url}/token`, jwks_uri: `${url}/jwks` })
      case '/jwks':
        return answer({ keys: [key.publicJwk] })
      case '/token':
        return answer(
          await grant(new URLSearchParams(await text(req)), req.headersDistinct.dpop ?? []),
        )
      case '/revocations': {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        const subscription = feedStream(transport, (chunk) => res.write(chunk))
        return res.on('close', () => void subscription.close())
      }
      default:
        return res.writeHead(404).end()
    }
  })

  return {
    url,
    publisher,
    identity: () => 'e30.e30.AA',
    sign: (claims) => mintToken(claims, key),
    async close() {
      await publisher.close()
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
    },
  }
}
