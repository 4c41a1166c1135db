// One fault, one request: refused with its reason in the audit and dull words on the wire; and the same
// request without the fault is granted, so that it was the fault that was seen.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { type Ask, ask } from './ask.ts'
import type { World } from './world.ts'

/** All that whoever is refused is told, by error code. */
const TOLD: Readonly<Record<string, readonly [number, string]>> = {
  invalid_request: [400, 'the tokens were not accepted'],
  invalid_grant: [400, 'the assertion was not accepted'],
  invalid_client: [401, 'client authentication failed'],
  invalid_dpop_proof: [400, 'the DPoP proof was not accepted'],
}

export interface Fault {
  readonly title: string
  /** The request with the fault, and without. */
  readonly make: (wrong: boolean) => Ask | Promise<Ask>
  /** The error code on the wire. */
  readonly wire?: string
  /** What the audit says: the code, then its evidence. */
  readonly audit: readonly [string, JsonObject]
}

/** Both answers, and what was written down about each. */
export async function visit(world: World, asked: Ask) {
  const before = (await world.audited()).length
  const answer = await ask(world, asked)
  const records = (await world.audited()).slice(before)
  for (const secret of credentialsIn(asked)) {
    assert.ok(!JSON.stringify(records).includes(secret), 'a credential is in the audit')
    assert.ok(!JSON.stringify(answer.body.error ?? '').includes(secret))
  }
  return { ...answer, records: records.filter(({ outcome }) => outcome !== 'event') }
}

/** The payload and signature of everything that looks like a token. */
function credentialsIn({ fields, proof }: Ask): string[] {
  return [...Object.values(fields), proof ?? '']
    .filter((text) => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text))
    .flatMap((text) => text.split('.').slice(1))
}

export async function assertRefused(
  world: World,
  asked: Ask,
  fault: Omit<Fault, 'make' | 'title'>,
) {
  const { wire = 'invalid_request', audit } = fault
  const { status, body, records } = await visit(world, asked)
  const [record, ...others] = records
  assert.deepEqual([record?.outcome, record?.reason, record?.evidence], ['refused', ...audit])
  assert.deepEqual(others, [])
  const [expected, description] = TOLD[wire]!
  assert.deepEqual([status, body], [expected, { error: wire, error_description: description }])
}

export async function assertGranted(world: World, asked: Ask) {
  const { status, body, claims, records } = await visit(world, asked)
  assert.equal(status, 200, JSON.stringify([body, records]))
  assert.deepEqual(
    records.map(({ outcome, jti }) => [outcome, jti]),
    [['issued', claims.jti]],
  )
  return { body, claims, record: records[0]! }
}

/** Declares a test for each fault. */
export function refuses(world: World, faults: readonly Fault[]): void {
  for (const { title, make, ...fault } of faults) {
    const [code, evidence] = fault.audit
    test(`${title}: ${[code, ...Object.values(evidence)].join(', ')}`, async () => {
      await assertRefused(world, await make(true), fault)
      await assertGranted(world, await make(false))
    })
  }
}
