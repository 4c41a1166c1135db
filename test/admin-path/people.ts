/** People with passkeys, enrolled at a real broker as the page does it. */
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { SoftwarePasskey } from '../sign-in/authenticator.ts'
import { onSocket, type Said } from './doors.ts'
import type { BrokerProcess } from './place.ts'

/** What the page's script sends, to this very broker, under the name that they share. */
async function post({ adminUrl, adminPort }: BrokerProcess, path: string, body: object) {
  const { host, origin } = new URL(adminUrl)
  const headers = {
    ...{ host, origin, 'sec-fetch-site': 'same-origin' },
    'content-type': 'application/json',
  }
  const { promise, resolve, reject } = Promise.withResolvers<Said>()
  const options = {
    host: '127.0.0.1',
    port: adminPort,
    method: 'POST',
    path,
    headers,
    agent: false,
  }
  const call = request(options, async (answer) => {
    let text = ''
    for await (const chunk of answer) text += chunk
    resolve({ status: answer.statusCode ?? 0, json: JSON.parse(text) })
  })
  call.once('error', reject)
  call.end(JSON.stringify(body))
  return await promise
}

/** What a link is good for: whose name it says, or undefined when it does not count. */
export async function nameOfLink(url: string, broker: BrokerProcess): Promise<unknown> {
  const link = new URL(url).hash.slice(1)
  const { status, json } = await post(broker, '/sign-in/enrol/options', { link })
  return status === 200 ? json.name : undefined
}

/** Enrols somebody new. @returns their id */
export async function newPerson(broker: BrokerProcess, name: string): Promise<string> {
  const invited = await onSocket(broker)('POST', '/v1/people', { name, role: 'viewer' })
  assert.equal(invited.status, 201)
  const link = new URL(String(invited.json.url)).hash.slice(1)
  const passkey = new SoftwarePasskey({ origin: broker.adminUrl, rpId: 'localhost' })
  const begun = await post(broker, '/sign-in/enrol/options', { link })
  const credential = passkey.create(begun.json.options as Record<string, unknown>)
  const done = await post(broker, '/sign-in/enrol/finish', { link, credential, label: 'Laptop' })
  assert.equal(done.status, 200, JSON.stringify(done.json))
  return Buffer.from(passkey.userHandle ?? '', 'base64url').toString()
}
