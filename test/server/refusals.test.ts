// The union of reasons, both wire tables, the documentation and the tests say the same.
import assert from 'node:assert/strict'
import { glob, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { Reason, ReasonCode } from '../../src/refusal.ts'
import { SERVER_ERROR, wireError } from '../../src/server/errors.ts'
import { answerTo } from '../../src/verifier/challenge.ts'

const samples: { readonly [Code in ReasonCode]: readonly Extract<Reason, { code: Code }>[] } = {
  request_malformed: [{ code: 'request_malformed', detail: 'x' }],
  request_too_large: [{ code: 'request_too_large', limitBytes: 1 }],
  grant_unsupported: [{ code: 'grant_unsupported', grant: 'x' }],
  client_rejected: [{ code: 'client_rejected', detail: 'x' }],
  report_rejected: [{ code: 'report_rejected', check: 'signature' }],
  origin_refused: [
    { code: 'origin_refused', header: 'host' },
    { code: 'origin_refused', header: 'origin' },
  ],
  path_refused: [{ code: 'path_refused' }],
  binding_missing: [{ code: 'binding_missing' }],
  proof_invalid: [{ code: 'proof_invalid', check: 'signature' }],
  nonce_required: [{ code: 'nonce_required', why: 'absent' }],
  proof_replayed: [{ code: 'proof_replayed' }],
  identity_invalid: [{ code: 'identity_invalid', check: 'signature' }],
  identity_unknown_issuer: [{ code: 'identity_unknown_issuer', issuer: 'x' }],
  identity_key_changed: [{ code: 'identity_key_changed' }],
  identity_missing: [{ code: 'identity_missing' }],
  identity_conflict: [{ code: 'identity_conflict', between: 'x' }],
  certificate_untrusted: [{ code: 'certificate_untrusted', peer: 'x' }],
  trust_unavailable: [{ code: 'trust_unavailable', detail: 'x' }],
  delegation_refused: [{ code: 'delegation_refused', check: 'may_act' }],
  ceiling_exceeded: [{ code: 'ceiling_exceeded', part: 'method' }],
  revoked: [{ code: 'revoked', target: 'agent' }],
  revocations_stale: [{ code: 'revocations_stale' }],
  server_unknown: [{ code: 'server_unknown', server: 'x' }],
  details_invalid: [{ code: 'details_invalid', detail: 'x' }],
  action_unknown: [{ code: 'action_unknown', method: 'tools/call', identifier: 'x' }],
  arguments_invalid: [{ code: 'arguments_invalid', path: '/x', detail: 'x' }],
  arguments_too_costly: [{ code: 'arguments_too_costly', limitMs: 1 }],
  policy_denied: [{ code: 'policy_denied', policies: [] }],
  policy_unavailable: [{ code: 'policy_unavailable', detail: 'x' }],
  approval_required: [{ code: 'approval_required', policies: [] }],
  ledger_unavailable: [{ code: 'ledger_unavailable', detail: 'x' }],
  audit_unavailable: [{ code: 'audit_unavailable', detail: 'x' }],
  keys_unavailable: [{ code: 'keys_unavailable', detail: 'x' }],
  message_malformed: [{ code: 'message_malformed', detail: 'x' }],
  batch_refused: [{ code: 'batch_refused' }],
  header_mismatch: [{ code: 'header_mismatch', header: 'mcp-name' }],
  method_unknown: [{ code: 'method_unknown', method: 'x' }],
  token_missing: [{ code: 'token_missing' }],
  token_invalid: [{ code: 'token_invalid', check: 'signature' }],
  token_expired: [{ code: 'token_expired' }],
  token_unbound: [{ code: 'token_unbound' }],
  key_mismatch: [{ code: 'key_mismatch' }],
  scope_insufficient: [{ code: 'scope_insufficient', needed: 'x' }],
  action_mismatch: [{ code: 'action_mismatch', part: 'arguments' }],
  definition_unknown: [{ code: 'definition_unknown', identifier: 'x' }],
  session_mismatch: [{ code: 'session_mismatch' }],
  token_before_epoch: [{ code: 'token_before_epoch' }],
  token_spent: [{ code: 'token_spent' }],
}
const codes = Object.keys(samples) as ReasonCode[]
const asked = [
  { grant: 'token-exchange', token: 'action' },
  { grant: 'jwt-bearer', token: 'action' },
  { grant: 'token-exchange', token: 'session' },
  { grant: 'client_credentials', token: 'action' },
] as const

const page = await readFile('docs/refusals.md', 'utf8')
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()))

function brokerCell(code: ReasonCode): string {
  const answers = samples[code].flatMap((reason) => asked.map((how) => wireError(reason, how)))
  const said = answers.filter((answer) => answer !== SERVER_ERROR)
  const cells = new Set(said.map(({ status, error }) => `${status} ${error}`))
  return cells.size === 0 ? '–' : [...cells].join(' or ')
}

function verifierCell(code: ReasonCode): string {
  const cells = samples[code].map((reason) => {
    const answer = answerTo(reason)
    if (answer.kind === 'message') return `${answer.status} ${answer.code}`
    if (answer.kind === 'token') return `${answer.status} ${answer.error ?? '(no error code)'}`
    if (answer.kind === 'elsewhere') return '404 invalid_request'
    return answer.status === 503 ? '503 temporarily_unavailable' : '–'
  })
  return [...new Set(cells)].join(' or ')
}

test('the page has one row for each reason and no other', async () => {
  const source = await readFile('src/refusal.ts', 'utf8')
  const union = [...source.matchAll(/^ {2}\| \{ code: '(\w+)'/gm)].map(([, code]) => code!)
  assert.deepEqual([...union].sort(), [...codes].sort())
  assert.deepEqual(rows.map((row) => row[1]!.slice(1, -1)).sort(), [...codes].sort())
  for (const row of rows) assert.equal(row.length, 7, row[1])
})

for (const code of codes) {
  test(`the page says what broker and verifier answer to ${code}`, () => {
    const row = rows.find((cells) => cells[1] === `\`${code}\``)!
    assert.equal(row[2], brokerCell(code), 'broker')
    assert.equal(row[3], verifierCell(code), 'verifier')
    assert.ok(row[4]!.length > 10 && row[5]!.length > 10)
  })
}

test('a broker never says which check failed', () => {
  for (const check of ['form', 'signature', 'audience', 'expiry'] as const) {
    const reason = { code: 'identity_invalid', check } as const
    assert.deepEqual(wireError(reason, asked[0]), wireError(samples.identity_invalid[0]!, asked[0]))
  }
})

test('a caller cannot tell an action that a person could approve from one that is denied', () => {
  for (const how of asked) {
    assert.deepEqual(
      wireError({ code: 'approval_required', policies: ['a'] }, how),
      wireError({ code: 'policy_denied', policies: ['b'] }, how),
    )
  }
})

test('every reason is named by a test', async () => {
  let text = ''
  for await (const file of glob('test/**/*.test.ts')) {
    if (!file.endsWith('server/refusals.test.ts')) text += await readFile(file, 'utf8')
  }
  const untested = codes.filter((code) => !new RegExp(`\\b${code}\\b`).test(text))
  assert.deepEqual(untested, [])
})
