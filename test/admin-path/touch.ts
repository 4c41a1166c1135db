/** What a copied cookie of an admin does not do at a real broker, and its owner with the passkey does. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { SoftwarePasskey } from '../sign-in/authenticator.ts'
import { type Browser, enrol, me, type Site, signInBrowser } from '../sign-in/site.ts'
import { until } from '../support/redis.ts'
import { agentOf } from './agents.ts'
import { apiDoor, onSocket } from './doors.ts'
import type { Place } from './place.ts'

const NO = [403, 'touch_required']

export function testTouch(parts: () => Place): void {
  describe('whoever copied an admin’s cookie lets nothing go on and shuts nobody out', () => {
    const broker = () => parts().brokers[0]!
    const siteOf = () => {
      const { adminUrl: url } = broker()
      return { url, origin: url, rpId: 'localhost' } as Site
    }

    async function signedIn(name: string, role: 'admin' | 'viewer') {
      const { json } = await onSocket(broker())('POST', '/v1/people', { name, role })
      const { passkey, person } = await enrol(siteOf(), String(json.url))
      const { browser } = await signInBrowser(siteOf(), passkey)
      return { passkey, person, browser }
    }

    /** All that the cookie gives: the page's own value is told to whoever has it. */
    async function send(browser: Browser, method: string, path: string, json: object) {
      const csrf = String((await me(browser)).body.csrf)
      // Node says how long a body is by itself, save with DELETE.
      const length = String(Buffer.byteLength(JSON.stringify(json)))
      const headers = { ...browser.ours(), 'x-writ-csrf': csrf, 'content-length': length }
      const { status, body } = await browser.send(path, { method, json, headers })
      return { status, body, code: [status, body.code] }
    }

    async function touched(
      { browser, passkey }: { browser: Browser; passkey: SoftwarePasskey },
      asked: object,
    ) {
      const { status, body } = await send(browser, 'POST', '/v1/touch', asked)
      assert.equal(status, 200)
      return { touch: passkey.get(body) }
    }

    it('a stopped agent goes on only once the passkey was touched for that', async () => {
      const ada = await signedIn('Ada', 'admin')
      const agent = agentOf(parts(), { path: '/agents/touch/one' })
      const ask = async () => (await agent.ask('session', broker())).status
      assert.equal(await ask(), 200)
      const door = apiDoor('the control socket', onSocket(broker()))
      const [made] = await door.revoke([{ kind: 'agent', value: agent.id }], 'a test')
      await until(async () => (await ask()) === 400)

      const path = `/v1/revocations/${made!.id}/undo`
      const reason = { reason: 'let me go on' }
      const about = { change: 'undo_revocation', revocation: made!.id, ...reason }
      assert.deepEqual((await send(ada.browser, 'POST', path, reason)).code, NO)
      const touch = await touched(ada, about)
      const other = { reason: 'another', ...touch }
      assert.deepEqual((await send(ada.browser, 'POST', path, other)).code, NO)
      assert.equal(await ask(), 400)
      const body = { ...reason, ...(await touched(ada, about)) }
      assert.equal((await send(ada.browser, 'POST', path, body)).status, 200)
      await until(async () => (await ask()) === 200)
    })

    it('somebody is removed only once the passkey was touched for that', async () => {
      const bob = await signedIn('Bob', 'admin')
      const vera = await signedIn('Vera', 'viewer')
      const path = `/v1/people/${vera.person}`
      assert.deepEqual((await send(bob.browser, 'DELETE', path, {})).code, NO)
      assert.equal((await me(vera.browser)).status, 200)
      const body = await touched(bob, { change: 'remove_person', person: vera.person })
      assert.equal((await send(bob.browser, 'DELETE', path, body)).status, 204)
      assert.equal((await me(vera.browser)).status, 401)
      const reasons = (await broker().audited())
        .filter(({ by }) => by === `person:${bob.person}`)
        .map(({ reason }) => reason)
      assert.deepEqual(reasons, ['touch_required', 'remove_person'])
    })
  })
}
