// What a touch is for, and for how long one at signing in counts. What the routes make of it is in
// `people-touch.test.ts`, over real sign-ins in `touch-signed-in.test.ts`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashJson } from '../../src/action/hash.ts'
import type { AdminParts } from '../../src/admin/parts.ts'
import type { TouchRequest } from '../../src/admin/schemas/touch.ts'
import { checkTouched, touchHash } from '../../src/admin/touch.ts'
import type { Admin } from '../../src/sign-in/admin.ts'
import { AdminRefusal } from '../../src/sign-in/admin-refusal.ts'

const FOR: readonly (readonly [TouchRequest, method: string, path: string, body: object])[] = [
  [
    { change: 'undo_revocation', revocation: 'r/1', reason: 'a false alarm' },
    'POST',
    '/v1/revocations/r%2F1/undo',
    { reason: 'a false alarm' },
  ],
  [
    { change: 'invite_person', name: 'Eve', role: 'admin' },
    'POST',
    '/v1/people',
    { name: 'Eve', role: 'admin' },
  ],
  [{ change: 'invite_again', person: 'p1' }, 'POST', '/v1/people/p1/invitations', {}],
  [
    { change: 'change_role', person: 'p1', role: 'viewer' },
    'PATCH',
    '/v1/people/p1',
    { role: 'viewer' },
  ],
  [{ change: 'remove_person', person: 'p1' }, 'DELETE', '/v1/people/p1', {}],
  [
    { change: 'remove_passkey', person: 'p1', passkey: 'k1' },
    'DELETE',
    '/v1/people/p1/passkeys/k1',
    {},
  ],
]
for (const [asked, method, path, body] of FOR) {
  test(`a touch to ${asked.change} is for the method, path and body of that request`, () => {
    assert.equal(touchHash(asked), hashJson({ method, path, body } as never))
  })
}

const AT = 1_800_000_000
const PERSON = { id: 'person:ada', name: 'Ada', kind: 'person', role: 'admin' } as const
const BY_COMMAND_LINE: Admin = { ...PERSON, touchedAt: AT, csrf: undefined }
const TIMES: readonly (readonly [what: string, admin: Admin, now: number, counts: boolean])[] = [
  ['at once', BY_COMMAND_LINE, AT, true],
  ['just before five minutes have passed', BY_COMMAND_LINE, AT + 299.9, true],
  ['when five minutes have passed', BY_COMMAND_LINE, AT + 300, false],
  ['once the clock was set back by five minutes', BY_COMMAND_LINE, AT - 300, false],
  ['of a browser, at once', { ...BY_COMMAND_LINE, csrf: 'c' }, AT, false],
  ['of nobody knows when', { ...BY_COMMAND_LINE, touchedAt: undefined }, AT, false],
]
for (const [what, admin, now, counts] of TIMES) {
  test(`a touch at signing in ${counts ? 'counts' : 'does not count'} ${what}`, async () => {
    // Without a touch in the request no part of the API is asked.
    const checked = checkTouched({ parts: {} as AdminParts, admin, now }, 'hash', undefined)
    if (counts) await checked
    else {
      await assert.rejects(
        checked,
        (error) => error instanceof AdminRefusal && error.reason.code === 'touch_required',
      )
    }
  })
}
