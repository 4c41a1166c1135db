// A `writ serve` that trusts somebody of every kind, and ways to ask it for a token.
import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import type { Agent } from 'node:https'
import { join } from 'node:path'
import { after } from 'node:test'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { type Identity, identityOf, sendTls, tlsOptions } from '../server/tls.ts'
import { serve } from './serving.ts'
import { AGENT, freePort, RESOURCE } from './site.ts'
import { makeTrustSite, seconds } from './trust-site.ts'
import { temporaryDirectory } from './writ.ts'

export const cwd = await temporaryDirectory({ after })
export const mtlsUrl = `https://127.0.0.1:${await freePort()}`
export const site = await makeTrustSite({ after }, cwd, {
  listen: { mtls: new URL(mtlsUrl).host },
  mtls: { url: mtlsUrl, certificate_file: 'broker.pem', key_file: 'broker.key' },
  proxies: ['127.0.0.1'],
})
export const { domain, issuer } = site

/** As an operator replaces them: each whole, one after the other. */
export async function writeListenerCertificate(lifetimeSeconds: number): Promise<void> {
  const { cert, key } = await identityOf(domain, '/broker', lifetimeSeconds)
  for (const [name, text] of [
    ['broker.key', key],
    ['broker.pem', cert],
  ] as const) {
    await writeFile(join(cwd, 'next'), text)
    await rename(join(cwd, 'next'), join(cwd, name))
  }
}
await writeListenerCertificate(3600)
export const broker = await serve({ after }, cwd)

export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
export const TYPE = 'urn:ietf:params:oauth:token-type:'
export const DELEGATION = 'urn:writ:params:oauth:token-type:delegation'

export const ACTION = {
  resource: RESOURCE,
  authorization_details: JSON.stringify([
    {
      type: 'mcp_action',
      locations: [RESOURCE],
      actions: ['tools/call'],
      identifier: 'transfer_funds',
      arguments: { to: 'alice', amount: 5 },
    },
  ]),
}

export interface Answered {
  readonly status: number
  readonly body: Record<string, unknown>
  /** Of the token, when there is one. */
  readonly claims: Record<string, unknown>
}

export function answered(status: number, body: Record<string, unknown>): Answered {
  const payload = String(body.access_token).split('.')[1]
  const claims =
    status === 200 ? JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) : {}
  return { status, body, claims }
}

export async function post(
  form: Record<string, string>,
  options: { key?: SenderKey; headers?: Record<string, string> } = {},
): Promise<Answered> {
  const url = `${issuer}/token`
  const now = seconds()
  const headers = options.headers ?? {
    DPoP: makeProof(options.key ?? generateSenderKey(), { method: 'POST', url, now }),
  }
  const body = new URLSearchParams(form)
  const response = await fetch(url, { method: 'POST', headers, body })
  return answered(response.status, (await response.json()) as Record<string, unknown>)
}

export async function postTls(form: Record<string, string>, identity: Identity, agent?: Agent) {
  const body = new URLSearchParams(form)
  const tls = tlsOptions(domain, identity)
  const kept = agent === undefined ? {} : { agent }
  const { status, body: said } = await sendTls(`${mtlsUrl}/token`, { tls, body, ...kept })
  return answered(status, said)
}

export const svid = (path = '/agents/bot', audience = issuer) =>
  domain.issueJwtSvid({ path, audience, lifetimeSeconds: 300, now: seconds() })

export const exchange = (subject: string, type = 'jwt', more: Record<string, string> = {}) => ({
  grant_type: EXCHANGE,
  subject_token: subject,
  subject_token_type: `${TYPE}${type}`,
  ...ACTION,
  ...more,
})
export const actor = async () => ({ actor_token: await svid(), actor_token_type: `${TYPE}jwt` })
export const certified = (id = AGENT) => ({
  grant_type: 'client_credentials',
  client_id: id,
  ...ACTION,
})

export async function records(): Promise<Record<string, unknown>[]> {
  const log = (await readdir(join(cwd, 'audit'))).find((name) => name.endsWith('.jsonl')) ?? ''
  const text = await readFile(join(cwd, 'audit', log), 'utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}
