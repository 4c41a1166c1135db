// The order of the eight steps: what a request that fails at one of them has cost, and left behind.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { AuditRecord } from '../../src/audit/record.ts'
import type { Broker, ExchangeRequest, Step } from '../../src/exchange/broker.ts'
import { exchange, JWT_TOKEN_TYPE } from '../../src/exchange/exchange.ts'
import type { Json } from '../../src/lib/json.ts'
import { Refusal } from '../../src/refusal.ts'
import { generateSenderKey, makeProof } from '../../src/token/proof.ts'
import { AGENT, type Fixture, RESOURCE, seconds, startFixture } from '../server/fixture.ts'

let fixture: Fixture
before(async () => {
  fixture = await startFixture()
})
after(() => fixture.close())

const key = generateSenderKey()
const everyStep: Step[] = [
  'prove',
  'spend',
  'check',
  'understand',
  'decide',
  'approve',
  'record',
  'mint',
]

interface Run {
  readonly steps: Step[]
  readonly records: AuditRecord[]
  readonly broker: Broker
}

/** The fixture's broker with its steps and records in view, and parts replaced. */
function watched(parts: Partial<Broker> = {}): Run {
  const steps: Step[] = []
  const records: AuditRecord[] = []
  const broker: Broker = {
    ...fixture.broker,
    audit: { record: async (record) => void records.push(record) },
    onStep: (step) => void steps.push(step),
    ...parts,
  }
  return { steps, records, broker }
}

async function asked(change: Partial<ExchangeRequest> = {}): Promise<ExchangeRequest> {
  const now = seconds()
  return {
    door: 'token-exchange',
    endpoint: fixture.broker.tokenEndpoint,
    subject: { token: await fixture.svid(), tokenType: JWT_TOKEN_TYPE },
    actor: undefined,
    client: undefined,
    certificate: undefined,
    delegateTo: undefined,
    resource: RESOURCE,
    details: details(),
    proofHeaders: [makeProof(key, { method: 'POST', url: fixture.broker.tokenEndpoint, now })],
    method: 'POST',
    address: '127.0.0.1',
    now,
    ...change,
  }
}

function details(change: { [member: string]: Json } = {}): Json {
  return [
    {
      type: 'mcp_action',
      locations: [RESOURCE],
      actions: ['tools/call'],
      identifier: 'transfer_funds',
      arguments: { amount: 5 },
      ...change,
    },
  ]
}

function refusal(code: string) {
  return (error: unknown) => error instanceof Refusal && error.reason.code === code
}

test('the steps run in the order that is the design, and the record comes before the token', async () => {
  const { steps, records, broker } = watched()
  const granted = await exchange(await asked(), broker)
  assert.deepEqual(steps, everyStep)
  const [record] = records
  assert.equal(records.length, 1)
  assert.equal(record?.outcome, 'issued')
  assert.equal(record?.jti, granted.jti)
  assert.equal(record?.workload, AGENT)
  assert.ok(!JSON.stringify(records).includes(granted.token))
})

const refusals: {
  title: string
  code: string
  lastStep: Step
  change?: Partial<ExchangeRequest>
  parts?: Partial<Broker>
}[] = [
  {
    title: 'a proof of identity that is none',
    code: 'identity_invalid',
    lastStep: 'prove',
    change: { subject: { token: 'a.b.c', tokenType: JWT_TOKEN_TYPE } },
  },
  {
    title: 'another type of subject token',
    code: 'identity_invalid',
    lastStep: 'prove',
    change: { subject: { token: 'a.b.c', tokenType: 'urn:ietf:params:oauth:token-type:saml2' } },
  },
  {
    title: 'no proof of a key',
    code: 'binding_missing',
    lastStep: 'prove',
    change: { proofHeaders: [] },
  },
  {
    title: 'something stopped',
    code: 'revoked',
    lastStep: 'check',
    parts: {
      revocations: {
        check: ({ agents, principal }) => {
          assert.deepEqual([agents, principal], [[AGENT], AGENT])
          throw new Refusal({ code: 'revoked', target: 'agent' })
        },
      },
    },
  },
  {
    title: 'an unknown server',
    code: 'server_unknown',
    lastStep: 'understand',
    change: { resource: 'https://other.example/mcp', details: undefined },
  },
  {
    title: 'details of another server than the resource',
    code: 'details_invalid',
    lastStep: 'understand',
    change: { details: details({ locations: ['https://other.example/mcp'] }) },
  },
  {
    title: 'an unknown tool',
    code: 'action_unknown',
    lastStep: 'understand',
    change: { details: details({ identifier: 'sudo' }) },
  },
  {
    title: 'arguments of another form',
    code: 'arguments_invalid',
    lastStep: 'understand',
    change: { details: details({ arguments: { amount: 'five' } }) },
  },
  {
    title: 'what no policy permits',
    code: 'policy_denied',
    lastStep: 'decide',
    change: { details: details({ identifier: 'close_account' }) },
  },
  {
    title: 'what a person must approve',
    code: 'approval_required',
    lastStep: 'approve',
    change: { details: details({ identifier: 'ask_first' }) },
  },
]

for (const { title, code, lastStep, change, parts } of refusals) {
  test(`${title} is refused at its step, recorded, and mints nothing`, async () => {
    const { steps, records, broker } = watched(parts)
    await assert.rejects(exchange(await asked(change), broker), refusal(code))
    assert.equal(steps.at(-1), lastStep)
    assert.deepEqual(
      records.map(({ outcome, reason }) => [outcome, reason]),
      [['refused', code]],
    )
  })
}

test('a proof is spent before anything is decided: a denied request cannot be tried again with it', async () => {
  const { broker } = watched()
  const request = await asked({ details: details({ identifier: 'close_account' }) })
  await assert.rejects(exchange(request, broker), refusal('policy_denied'))
  const again = { ...request, details: details() }
  await assert.rejects(exchange(again, broker), refusal('proof_replayed'))
})

test('a proof is not spent on a request whose identity is not proved', async () => {
  const { broker } = watched()
  const request = await asked()
  await assert.rejects(
    exchange({ ...request, subject: { token: 'a.b.c', tokenType: JWT_TOKEN_TYPE } }, broker),
    refusal('identity_invalid'),
  )
  await exchange(request, broker)
})

test('the store learns how old the proof can be, the sender’s clock included', async () => {
  const seen: unknown[] = []
  const { broker } = watched({
    ledger: {
      spend: async (id, expiresAt, issuedAt) => {
        seen.push([id, expiresAt, issuedAt])
        return true
      },
    },
  })
  const request = await asked()
  await exchange(request, broker)
  const [[id, expiresAt, issuedAt]] = seen as [[string, number, number]]
  assert.match(id, /^p:/)
  assert.ok(issuedAt <= request.now - 9, 'a proof may be up to ten seconds ahead')
  assert.ok(expiresAt >= request.now + 60, 'a proof is accepted for a minute')
})

test('no record, no token', async () => {
  const { steps, broker } = watched({
    audit: { record: () => Promise.reject(new Error('disk full')) },
  })
  await assert.rejects(exchange(await asked(), broker), refusal('audit_unavailable'))
  assert.ok(!steps.includes('mint'))
})

test('no key that signs now, no token and no record of one', async () => {
  const none = () => {
    throw new Error('no key signs yet')
  }
  const { records, broker } = watched({ signingKey: none })
  await assert.rejects(exchange(await asked(), broker), refusal('keys_unavailable'))
  assert.deepEqual(
    records.map(({ outcome, reason }) => [outcome, reason]),
    [['refused', 'keys_unavailable']],
  )
})

test('a refusal that cannot be recorded is still a refusal', async () => {
  const { broker } = watched({ audit: { record: () => Promise.reject(new Error('disk full')) } })
  const request = await asked({ details: details({ identifier: 'close_account' }) })
  await assert.rejects(exchange(request, broker), refusal('audit_unavailable'))
})

test('a policy that asks for a certificate gets no token for a DPoP key', async () => {
  const decision = {
    effect: 'permit',
    policies: ['a'],
    version: 'v',
    lifetimeSeconds: undefined,
    binding: 'mtls',
    maxUses: 1,
  } as const
  const { broker } = watched({ policies: { decide: () => decision } })
  await assert.rejects(exchange(await asked(), broker), refusal('binding_missing'))
})

test('a token lives no longer than its policy, its kind and the identity it came from', async () => {
  const cases = [
    { decided: undefined, expected: 60 },
    { decided: 20, expected: 20 },
    { decided: 200, expected: 60 },
  ]
  for (const { decided, expected } of cases) {
    const decision = {
      effect: 'permit',
      policies: ['a'],
      version: 'v',
      lifetimeSeconds: decided,
      binding: undefined,
      maxUses: 1,
    } as const
    const { broker } = watched({ policies: { decide: () => decision } })
    assert.equal((await exchange(await asked(), broker)).expiresInSeconds, expected)
  }
  const { broker } = watched()
  const late = await asked({ details: undefined })
  // The SVID of the fixture is good for 300 seconds, session tokens for 120.
  const now = late.now + 250
  const proof = makeProof(key, { method: 'POST', url: broker.tokenEndpoint, now })
  const { expiresInSeconds } = await exchange({ ...late, now, proofHeaders: [proof] }, broker)
  assert.ok(expiresInSeconds <= 50 && expiresInSeconds > 0, String(expiresInSeconds))
})

test('a second key for one identity is an event of its own in the audit', async () => {
  const { records, broker } = watched({ senderKeys: { check: async () => 'second' } })
  await exchange(await asked(), broker)
  assert.deepEqual(
    records.map(({ outcome, reason }) => [outcome, reason]),
    [
      ['event', 'identity_second_key'],
      ['issued', undefined],
    ],
  )
})

test('argument values are recorded only where that is configured', async () => {
  for (const recordArguments of [false, true]) {
    const { records, broker } = watched({ recordArguments })
    await exchange(await asked(), broker)
    assert.equal(records[0]?.arguments !== undefined, recordArguments)
    assert.match(records[0]?.argumentsHash ?? '', /^[\w-]{43}$/)
  }
})

test('a stranger does not decide how much is written into the audit', async () => {
  const resource = '\u0001'.repeat(100_000)
  for (const [code, change] of Object.entries({
    binding_missing: { proofHeaders: [] },
    server_unknown: { details: undefined },
  })) {
    const { records, broker } = watched()
    await assert.rejects(exchange(await asked({ resource, ...change }), broker), refusal(code))
    const [record] = records
    assert.equal(record?.reason, code)
    assert.ok(JSON.stringify(record).length < 10_000)
  }
})
