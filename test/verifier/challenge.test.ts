import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { extractWWWAuthenticateParams } from '@modelcontextprotocol/client'
import type { Reason, TokenCheck } from '../../src/refusal.ts'
import { answerTo, responseTo, UNEXPECTED } from '../../src/verifier/challenge.ts'

const context = {
  metadataUrl: 'https://mcp.example/.well-known/oauth-protected-resource/mcp',
  scope: 'mcp:action',
  headers: [],
  id: 7,
} as const

const respond = (reason: Reason, more = {}) => responseTo(answerTo(reason), { ...context, ...more })
const challengesOf = (reason: Reason): string[] =>
  respond(reason)
    .headers.filter(([name]) => name === 'www-authenticate')
    .map(([, value]) => value)

/** What STANDARDS for MCP, DPoP and bearer tokens say, reason by reason. */
const table: { reason: Reason; status: number; error: string | number; says: RegExp }[] = [
  {
    reason: { code: 'message_malformed', detail: 'x' },
    status: 400,
    error: -32600,
    says: /well-formed/,
  },
  {
    reason: { code: 'batch_refused' },
    status: 400,
    error: -32600,
    says: /one message per request/,
  },
  {
    reason: { code: 'header_mismatch', header: 'mcp-name' },
    status: 400,
    error: -32020,
    says: /mcp-name/,
  },
  {
    reason: { code: 'request_malformed', detail: 'Accept must list x' },
    status: 400,
    error: -32600,
    says: /Accept/,
  },
  {
    reason: { code: 'request_too_large', limitBytes: 10 },
    status: 413,
    error: -32600,
    says: /10 bytes/,
  },
  {
    reason: { code: 'origin_refused', header: 'origin' },
    status: 403,
    error: -32600,
    says: /origin/,
  },
  {
    reason: { code: 'path_refused' },
    status: 404,
    error: 'invalid_request',
    says: /nothing at this path/,
  },
  { reason: { code: 'method_unknown', method: 'x' }, status: 404, error: -32601, says: /method/ },
  { reason: { code: 'session_mismatch' }, status: 404, error: -32001, says: /initialize/ },
  {
    reason: { code: 'token_missing' },
    status: 401,
    error: 'invalid_token',
    says: /token is needed/,
  },
  {
    reason: { code: 'token_invalid', check: 'audience' },
    status: 401,
    error: 'invalid_token',
    says: /another server/,
  },
  {
    reason: { code: 'token_invalid', check: 'signature' },
    status: 401,
    error: 'invalid_token',
    says: /not accepted/,
  },
  { reason: { code: 'token_expired' }, status: 401, error: 'invalid_token', says: /expired/ },
  { reason: { code: 'token_unbound' }, status: 401, error: 'invalid_token', says: /proof/ },
  { reason: { code: 'key_mismatch' }, status: 401, error: 'invalid_token', says: /another key/ },
  { reason: { code: 'token_before_epoch' }, status: 401, error: 'invalid_token', says: /older/ },
  {
    reason: { code: 'token_spent' },
    status: 401,
    error: 'invalid_token',
    says: /already been used/,
  },
  {
    reason: { code: 'revoked', target: 'jti' },
    status: 401,
    error: 'invalid_token',
    says: /revoked/,
  },
  {
    reason: { code: 'binding_missing' },
    status: 401,
    error: 'invalid_dpop_proof',
    says: /proof of the token's key is needed/,
  },
  {
    reason: { code: 'certificate_untrusted', peer: '192.0.2.1' },
    status: 401,
    error: 'invalid_token',
    says: /header is no proof/,
  },
  {
    reason: { code: 'identity_invalid', check: 'expiry' },
    status: 401,
    error: 'invalid_token',
    says: /not valid now/,
  },
  {
    reason: { code: 'proof_invalid', check: 'age' },
    status: 401,
    error: 'invalid_dpop_proof',
    says: /proof was not/,
  },
  { reason: { code: 'proof_replayed' }, status: 401, error: 'invalid_dpop_proof', says: /already/ },
  {
    reason: { code: 'nonce_required', why: 'absent' },
    status: 401,
    error: 'use_dpop_nonce',
    says: /nonce/,
  },
  {
    reason: { code: 'scope_insufficient', needed: 'x' },
    status: 403,
    error: 'insufficient_scope',
    says: /scope/,
  },
  {
    reason: { code: 'action_mismatch', part: 'arguments' },
    status: 403,
    error: 'insufficient_scope',
    says: /other arguments/,
  },
  {
    reason: { code: 'action_mismatch', part: 'identifier' },
    status: 403,
    error: 'insufficient_scope',
    says: /another tool/,
  },
  {
    reason: { code: 'definition_unknown', identifier: 'x' },
    status: 403,
    error: 'insufficient_scope',
    says: /definition/,
  },
  {
    reason: { code: 'revocations_stale' },
    status: 503,
    error: 'temporarily_unavailable',
    says: /revoked/,
  },
  {
    reason: { code: 'ledger_unavailable', detail: 'x' },
    status: 503,
    error: 'temporarily_unavailable',
    says: /used/,
  },
  {
    reason: { code: 'keys_unavailable', detail: 'x' },
    status: 503,
    error: 'temporarily_unavailable',
    says: /keys/,
  },
  {
    reason: { code: 'audit_unavailable', detail: 'x' },
    status: 503,
    error: 'temporarily_unavailable',
    says: /record/,
  },
  {
    reason: { code: 'policy_denied', policies: [] },
    status: 500,
    error: 'server_error',
    says: /could not/,
  },
]

for (const { reason, status, error, says } of table) {
  test(`${JSON.stringify(reason)} is answered ${status} ${error}, in words`, () => {
    const { status: sent, body, headers } = respond(reason)
    assert.equal(sent, status)
    assert.ok(headers.some(([name, value]) => name === 'cache-control' && value === 'no-store'))
    if (typeof error === 'number') {
      const rpc = body as unknown as {
        jsonrpc: string
        id: number
        error: { code: number; message: string }
      }
      assert.deepEqual([rpc.jsonrpc, rpc.id, rpc.error.code], ['2.0', 7, error])
      assert.match(rpc.error.message, says)
    } else {
      assert.equal(body.error, error)
      assert.match(String(body.error_description), says)
    }
    assert.equal(
      headers.some(([name]) => name === 'retry-after'),
      status === 503,
    )
    assert.equal(
      challengesOf(reason).length,
      status === 401 || status === 403 ? (typeof error === 'number' ? 0 : 2) : 0,
    )
  })
}

test('the Bearer challenge comes first and an unmodified SDK finds everything in it', () => {
  const [bearer, dpop] = challengesOf({ code: 'action_mismatch', part: 'arguments' })
  assert.match(bearer ?? '', /^Bearer resource_metadata="/)
  assert.match(dpop ?? '', /^DPoP algs="ES256 [^"]*"/)
  const response = new Response(null, { status: 403 })
  for (const one of [bearer, dpop]) response.headers.append('www-authenticate', one ?? '')
  const found = extractWWWAuthenticateParams(response)
  assert.equal(found.resourceMetadataUrl?.href, context.metadataUrl)
  assert.equal(found.scope, 'mcp:action')
  assert.equal(found.error, 'insufficient_scope')
})

test('a nonce demand is a DPoP error, and no Bearer error', () => {
  const [bearer, dpop] = challengesOf({ code: 'nonce_required', why: 'absent' })
  assert.doesNotMatch(bearer ?? '', /error=/)
  assert.match(dpop ?? '', /error="use_dpop_nonce"/)
})

test('a missing token is no error of the client (RFC 6750 §3.1)', () => {
  for (const challenge of challengesOf({ code: 'token_missing' }))
    assert.doesNotMatch(challenge, /error=/)
})

test('what can be sent in a challenge is all that is ever sent', () => {
  for (const { reason } of table) {
    for (const challenge of challengesOf(reason)) {
      // RFC 6750 §3: no quote and no backslash inside a value.
      assert.match(
        challenge,
        /^(Bearer|DPoP) \w+="[\x20-\x21\x23-\x5b\x5d-\x7e]*"(, \w+="[\x20-\x21\x23-\x5b\x5d-\x7e]*")*$/,
      )
    }
  }
})

test('checks a forger could learn from all sound the same', () => {
  const dull: TokenCheck[] = ['typ', 'algorithm', 'key', 'signature', 'claims', 'lifetime']
  const words = dull.map(
    (check) => respond({ code: 'token_invalid', check }).body.error_description,
  )
  assert.equal(new Set(words).size, 1)
})

test('a request that could not be read has no id, and its challenge names every scope', () => {
  assert.equal(respond({ code: 'batch_refused' }, { id: undefined }).body.id, null)
  const { headers } = respond({ code: 'token_missing' }, { scope: undefined })
  assert.match(
    String(headers.find(([name]) => name === 'www-authenticate')?.[1]),
    /scope="mcp:action mcp:session"/,
  )
})

test('what nobody expected is a 500 that says nothing', () => {
  const { status, body } = responseTo(UNEXPECTED, context)
  assert.equal(status, 500)
  assert.deepEqual(body, {
    error: 'server_error',
    error_description: 'the request could not be checked',
  })
})

test('every reason has an answer, and docs/verifying.md lists every one a verifier gives', () => {
  const docs = readFileSync(new URL('../../docs/verifying.md', import.meta.url), 'utf8')
  for (const { reason, status } of table) {
    if (status !== 500) assert.match(docs, new RegExp(`\`${reason.code}\``), reason.code)
  }
})
