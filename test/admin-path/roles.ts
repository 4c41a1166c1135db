/** What programs may do on the admin side, by the scope of a token that they fetched themselves. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { FORM, newKey, proofFor, send } from '../attacks/sender.ts'
import { type Ask, asProgram, callAdmin, clientToken, onSocket } from './doors.ts'
import type { ClientName, Place } from './place.ts'

const STOP = { targets: [{ kind: 'jti', value: 'nobody-has-this' }], reason: 'a test' }

/** What changes something; for admins alone. */
const CHANGES: readonly (readonly [string, string, object?])[] = [
  ['POST', '/v1/revocations', STOP],
  ['POST', '/v1/revocations/nonesuch/undo', { reason: 'a test' }],
  ['POST', '/v1/people', { name: 'Mallory', role: 'admin' }],
  ['PATCH', '/v1/people/nobody', { role: 'admin' }],
  ['DELETE', '/v1/people/nobody'],
]
const READS = [
  'sessions',
  'revocations',
  'holders',
  'policies',
  'servers',
  'keys',
  'health',
  'audit',
]

const change = (ask: Ask, [method, path, body]: (typeof CHANGES)[number]) =>
  ask(method, path, body, { 'idempotency-key': randomUUID() })
const codeOf = ({ status, json }: { status: number; json: JsonObject }) => [status, json.code]

export function testRoles(parts: () => Place): void {
  describe('programs may do what their role says, with a token for the admin side', () => {
    const broker = () => parts().brokers[0]!

    it('an admin changes things', async () => {
      const ask = asProgram(parts(), broker(), 'ops')
      const statuses = await Promise.all(
        CHANGES.map(async (one) => (await change(ask, one)).status),
      )
      assert.deepEqual(statuses, [201, 404, 201, 404, 404])
      const me = await ask('GET', '/v1/me')
      assert.deepEqual([me.json.id, me.json.kind, me.json.role], ['client:ops', 'client', 'admin'])
    })

    it('a viewer reads, and changes nothing', async () => {
      const ask = asProgram(parts(), broker(), 'viewer', 'writ:viewer')
      for (const what of READS) assert.equal((await ask('GET', `/v1/${what}`)).status, 200, what)
      for (const one of CHANGES) {
        assert.deepEqual(codeOf(await change(ask, one)), [403, 'role_insufficient'], one.join(' '))
      }
      assert.equal((await ask('GET', '/v1/people')).status, 403)
    })

    it('nobody gets a scope that they are not configured with', async () => {
      for (const [name, scope] of [
        ['viewer', 'writ:admin'],
        ['reporter', 'writ:viewer'],
      ] as const) {
        const { status, json } = await tokenFor(name, scope, broker().adminUrl)
        const [, payload = ''] = String(json.access_token).split('.')
        const got = status === 200 ? JSON.parse(Buffer.from(payload, 'base64url').toString()) : {}
        assert.ok(!String(got.scope ?? '').includes(scope), `${name} got ${got.scope}`)
      }
    })

    it('who may only report reads nothing, with whatever token it can get', async () => {
      for (const resource of [broker().adminUrl, undefined]) {
        const key = newKey()
        const { status, json } = await tokenFor('reporter', 'writ:report', resource, key)
        if (status !== 200) {
          assert.equal(status, 400)
          continue
        }
        for (const what of READS) {
          const token = String(json.access_token)
          const answer = await callAdmin(broker(), { token, key }, ['GET', `/v1/${what}`])
          assert.deepEqual(codeOf(answer), [401, 'signin_required'], what)
        }
      }
    })

    it('a token for the broker is none for the admin side, and the other way round', async () => {
      const [key, url] = [newKey(), broker().adminUrl]
      const forBroker = await tokenFor('both', 'writ:admin', undefined, key)
      const forAdmin = await tokenFor('both', 'writ:admin', url, key)
      assert.deepEqual([forBroker.status, forAdmin.status], [200, 200])
      const call = async (token: unknown) =>
        codeOf(await callAdmin(broker(), { token: String(token), key }, ['GET', '/v1/health']))
      assert.deepEqual(await call(forAdmin.json.access_token), [200, undefined])
      assert.deepEqual(await call(forBroker.json.access_token), [401, 'signin_required'])

      // The broker's own endpoints for clients take neither: a client proves itself there with its key.
      for (const { json } of [forBroker, forAdmin]) {
        const endpoint = `${parts().site.issuer}/revoke`
        const token = String(json.access_token)
        const headers = {
          ...{ ...FORM, authorization: `DPoP ${token}` },
          dpop: proofFor(key, endpoint, { accessToken: token }),
        }
        const form = new URLSearchParams({ token: 'anything' }).toString()
        assert.equal((await send(broker().port, '/revoke', headers, form)).status, 401)
      }
      // And it is no token that an exchange would take as a proof of who asks.
      const subject = String(forAdmin.json.access_token)
      const form = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: subject,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        resource: parts().liveResource,
      })
      const dpop = proofFor(key, `${parts().site.issuer}/token`)
      const asked = await send(broker().port, '/token', { ...FORM, dpop }, form.toString())
      assert.equal(asked.status, 400)
    })

    it('a token is worth nothing without its key, nor with a proof that was used', async () => {
      const [key, url] = [newKey(), broker().adminUrl]
      const { json } = await tokenFor('ops', 'writ:admin', url, key)
      const token = String(json.access_token)
      const other = await callAdmin(broker(), { token, key: newKey() }, ['GET', '/v1/health'])
      assert.equal(other.status, 401)
      const bearer = await fetch(`${url}/v1/health`, {
        headers: { authorization: `Bearer ${token}` },
      })
      assert.equal(bearer.status, 401)
      const dpop = proofFor(key, `${url}/v1/health`, { accessToken: token, method: 'GET' })
      const headers = { authorization: `DPoP ${token}`, dpop }
      const statuses = []
      for (let n = 0; n < 2; n++) {
        statuses.push((await fetch(`${url}/v1/health`, { headers })).status)
      }
      assert.deepEqual(statuses, [200, 401])
    })

    it('who did it is on record, with what and why', async () => {
      const ask = asProgram(parts(), broker(), 'ops')
      const reason = `why ${randomUUID()}`
      const { json } = await change(ask, ['POST', '/v1/revocations', { ...STOP, reason }])
      const [made] = json.items as { id: string; by: string; reason: string }[]
      assert.deepEqual([made!.by, made!.reason], ['client:ops', reason])
      const told = await onSocket(broker())('GET', `/v1/revocations/${made!.id}`)
      assert.deepEqual([told.json.by, told.json.reason], ['client:ops', reason])
      const record = (await broker().audited()).find(({ evidence }) =>
        JSON.stringify(evidence ?? '').includes(reason),
      )
      assert.equal(record?.door, 'admin')
      assert.match(JSON.stringify(record), /client:ops/)
    })

    async function tokenFor(name: ClientName, scope: string, resource?: string, key = newKey()) {
      const target = resource === undefined ? {} : { resource }
      return clientToken(parts(), broker(), parts().clients[name], { key, scope, ...target })
    }
  })
}
