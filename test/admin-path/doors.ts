/** The ways in for an admin: the control socket, a program with a token of its own, the command line. */
import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { findControl } from '../../src/cli/control.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { Target } from '../../src/revocation/target.ts'
import { targetText } from '../../src/revocation/target-text.ts'
import type { SenderKey } from '../../src/token/proof.ts'
import { FORM, newKey, proofFor, remember, seconds, send } from '../attacks/sender.ts'
import { type Ended, writ } from '../cli/writ.ts'
import { assertion, type TestClient } from '../server/fixture.ts'
import type { BrokerProcess, ClientName, Place } from './place.ts'

export interface Said {
  readonly status: number
  readonly json: JsonObject
}

export interface Door {
  readonly name: string
  /** In the order of the targets. @throws {Error} when it was not acknowledged */
  revoke(targets: readonly Target[], reason: string, until?: number): Promise<Made[]>
  /** The code and the words of the no; undefined when it was done. */
  undo(id: string, reason: string): Promise<string | undefined>
}

export interface Made {
  readonly id: string
  readonly by: string
}

type Headers = Readonly<Record<string, string>>

/** The admin API, whoever asks. */
export type Ask = (method: string, path: string, body?: object, headers?: Headers) => Promise<Said>

export function onSocket({ control }: BrokerProcess): Ask {
  return async (method, path, body, headers = {}) => {
    const socketPath = await findControl(control)
    if (socketPath === undefined) throw new Error('no broker answers')
    const { promise, resolve, reject } = Promise.withResolvers<Said>()
    const sent = { ...(body && { 'content-type': 'application/json' }), ...headers }
    const call = request({ socketPath, path, method, headers: sent }, async (answer) => {
      try {
        let text = ''
        for await (const chunk of answer) text += chunk
        resolve({ status: answer.statusCode ?? 0, json: text === '' ? {} : JSON.parse(text) })
      } catch (error) {
        reject(error)
      }
    })
    call.once('error', reject)
    call.end(body && JSON.stringify(body))
    return await promise
  }
}

/** A token for the admin side of this broker, or for whatever `resource` says. */
export async function clientToken(
  place: Place,
  broker: BrokerProcess,
  client: TestClient,
  { key, scope, resource }: { key: SenderKey; scope: string; resource?: string },
): Promise<Said> {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: client.client.clientId,
    ...assertion(place.site.issuer, client),
    scope,
    ...(resource === undefined ? {} : { resource }),
  })
  const headers = { ...FORM, dpop: proofFor(key, `${place.site.issuer}/token`) }
  const { status, json } = await send(broker.port, '/token', headers, form.toString())
  if (typeof json.access_token === 'string') remember(json.access_token)
  return { status, json }
}

/** One call with a token and a fresh proof. */
export async function callAdmin(
  { adminUrl }: BrokerProcess,
  { token, key }: { token: string; key: SenderKey },
  [method, path, body, headers = {}]: Parameters<Ask>,
): Promise<Said> {
  const url = `${adminUrl}${path}`
  const proved = url.replace(/[?].*/, '')
  const answer = await fetch(url, {
    method,
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      authorization: `DPoP ${token}`,
      dpop: proofFor(key, proved, { accessToken: token, method }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, json: text === '' ? {} : JSON.parse(text) }
}

/** A program that fetches a token of its own for a role, and another when the first is not good any more. */
export function asProgram(
  place: Place,
  broker: BrokerProcess,
  name: ClientName,
  scope = 'writ:admin',
): Ask {
  const key = newKey()
  let held: { readonly token: string; readonly until: number } | undefined
  const fetchToken = async () => {
    const client = place.clients[name]
    const { status, json } = await clientToken(place, broker, client, {
      ...{ key, scope, resource: broker.adminUrl },
    })
    if (status !== 200) throw new Error(`no token: ${status} ${JSON.stringify(json)}`)
    return { token: String(json.access_token), until: seconds() + Number(json.expires_in) - 10 }
  }
  return async (...request) => {
    held = held !== undefined && held.until > seconds() ? held : await fetchToken()
    const answer = await callAdmin(broker, { ...held, key }, request)
    // Somebody has stopped everything that was issued earlier.
    if (answer.status !== 401) return answer
    held = await fetchToken()
    return await callAdmin(broker, { ...held, key }, request)
  }
}

export function apiDoor(name: string, ask: Ask): Door {
  return {
    name,
    async revoke(targets, reason, until) {
      const body = { targets, reason, ...(until === undefined ? {} : { until }) }
      const headers = { 'idempotency-key': randomUUID() }
      const { status, json } = await ask('POST', '/v1/revocations', body, headers)
      if (status !== 201) throw new Error(`not revoked: ${status} ${JSON.stringify(json)}`)
      return json.items as unknown as Made[]
    },
    async undo(id, reason) {
      const { status, json } = await ask('POST', `/v1/revocations/${id}/undo`, { reason })
      return status === 200 ? undefined : `${json.code} ${json.detail}`
    },
  }
}

/** The real command, as its user types it, against the broker of this configuration. */
export function command(place: Place, { config }: BrokerProcess) {
  return (...args: string[]): Promise<Ended> =>
    writ(args, {
      cwd: place.site.directory,
      env: { WRIT_CONFIG: config, XDG_CONFIG_HOME: '/nonexistent' },
    })
}

export function commandDoor(place: Place, broker: BrokerProcess): Door {
  const run = command(place, broker)
  return {
    name: 'the command line',
    async revoke(targets, reason, until) {
      const time = until === undefined ? [] : ['--until', new Date(until * 1000).toISOString()]
      const named = targets.map((target) => targetText(target))
      const ended = await run('revoke', '--json', '--reason', reason, ...time, '--', ...named)
      if (ended.code !== 0)
        throw new Error(`exit code ${ended.code}: ${ended.stdout}${ended.stderr}`)
      const { revocations, through } = ended.json()
      if (through !== 'broker') throw new Error(`it went through the ${through}`)
      return revocations as Made[]
    },
    async undo(id, reason) {
      const ended = await run('revocations', 'undo', '--json', '--reason', reason, '--', id)
      if (ended.code === 0) return undefined
      const { error } = ended.json() as { error: { code: string; message: string } }
      return `${error.code} ${error.message}`
    },
  }
}
