import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as oauth from 'oauth4webapi'
import type { SoftwarePasskey } from './authenticator.ts'
import { approve, CommandLine, confirmPage } from './command-line.ts'
import { newPerson, type Site, startSite } from './site.ts'

let site: Site
let passkey: SoftwarePasskey
let person: string
before(async () => {
  site = await startSite()
  ;({ passkey, person } = await newPerson(site, 'admin'))
})
after(() => site.close())

test('a command line signs in with a code that a person confirms with a passkey', async () => {
  const cli = new CommandLine(site)
  const asked = await cli.ask()
  assert.equal(asked.status, 200, asked.text)
  assert.equal(asked.body.verification_uri, `${site.url}/sign-in/device`)
  const { device_code: code, user_code: userCode } = asked.body as Record<string, string>
  assert.equal((await cli.poll(code!)).body.error, 'authorization_pending')

  const { confirm } = await confirmPage(site, userCode!)
  for (const shown of [userCode!, 'writ/1 (test)', '127.0.0.1', 'admin, as far'])
    assert.ok(confirm.text.includes(shown))
  const done = await approve(site, userCode!, passkey)
  assert.equal(done.status, 200, done.text)

  const answer = await cli.poll(code!)
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.body.token_type, 'DPoP')
  assert.ok(Number(answer.body.expires_in) <= 900)
  const { body } = await cli.me(String(answer.body.access_token))
  assert.deepEqual([body.id, body.role, body.kind], [`person:${person}`, 'admin', 'person'])
  assert.ok(Number(body.touchedAt) > site.now() - 60)
})

test('it may say for whom the tokens are, and gets no more than it asks for', async () => {
  const cli = new CommandLine(site)
  const { body } = await cli.ask('writ:viewer writ:approver', { resource: site.url })
  await approve(site, String(body.user_code).toLowerCase().replace('-', ' '), passkey)
  const tokens = await cli.poll(String(body.device_code))
  assert.equal(tokens.body.scope, 'writ:viewer writ:approver', tokens.text)
  assert.equal((await cli.me(String(tokens.body.access_token))).body.role, 'approver')
  const records = site.records.filter(({ key }) => key === cli.key.jkt)
  assert.deepEqual(
    records.map(({ reason, principal }) => [reason, principal]),
    [
      ['device_approved', `person:${person}`],
      ['signed_in', `person:${person}`],
    ],
  )
})

test('oauth4webapi discovers it and signs in through the documented flow', async () => {
  const issuer = new URL(site.url)
  const options = { [oauth.allowInsecureRequests]: true }
  const as = await oauth
    .discoveryRequest(issuer, { algorithm: 'oauth2', ...options })
    .then((response) => oauth.processDiscoveryResponse(issuer, response))
  const client = { client_id: 'writ-cli' }
  const DPoP = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  const flow = { DPoP, ...options }
  // Its device request takes no proof, so this one is made by hand; a generic form request does.
  const parameters = new URLSearchParams({ scope: 'writ:viewer' })
  const headers = new Headers()
  const url = new URL(as.device_authorization_endpoint!)
  const proofs = DPoP as unknown as { addProof(...of: unknown[]): Promise<void> }
  await proofs.addProof(url, headers, 'POST')
  const request = await oauth.deviceAuthorizationRequest(as, client, oauth.None(), parameters, {
    ...options,
    headers,
  })
  const device = await oauth.processDeviceAuthorizationResponse(as, client, request)
  await approve(site, device.user_code, passkey)
  const response = await oauth.deviceCodeGrantRequest(
    as,
    client,
    oauth.None(),
    device.device_code,
    flow,
  )
  const tokens = await oauth.processDeviceCodeResponse(as, client, response)
  assert.equal(tokens.token_type, 'dpop')
  const refreshed = await oauth.refreshTokenGrantRequest(
    as,
    client,
    oauth.None(),
    tokens.refresh_token!,
    flow,
  )
  const next = await oauth.processRefreshTokenResponse(as, client, refreshed)
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  const me = await oauth.protectedResourceRequest(
    next.access_token,
    'GET',
    new URL(`${site.url}/v1/me`),
    undefined,
    undefined,
    flow,
  )
  assert.equal(((await me.json()) as { role: string }).role, 'viewer')
})
