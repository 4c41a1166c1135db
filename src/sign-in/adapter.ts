/**
 * What oidc-provider keeps, in documents.
 *
 * - What a caller presents (codes, tokens, cookies) is kept under its hash, never as itself.
 * - `consume` is one step: of any number of uses at once one succeeds. A refresh token that is used
 *   again ends its grant, and without its grant no token is good.
 * - Its session says nothing about who someone is: every sign-in is a passkey of its own.
 */
import { type Adapter, type AdapterPayload, errors } from 'oidc-provider'
import type { Document, Documents } from '../ledger/documents.ts'
import type { JsonObject } from '../lib/json.ts'
import { hashStrings } from '../token/hash-strings.ts'

const KINDS = {
  Session: 'oidc_session',
  Interaction: 'oidc_interaction',
  AuthorizationCode: 'oidc_code',
  DeviceCode: 'oidc_device_code',
  AccessToken: 'oidc_access_token',
  RefreshToken: 'oidc_refresh_token',
  Grant: 'oidc_grant',
} as const
type Model = keyof typeof KINDS

/** Of a device code that was found by its user code; no character of any code or token. */
export const KEPT = '~'
const LISTED = 200

export interface OidcStore {
  adapter(model: string): Adapter
  find(model: Model, id: string): Promise<AdapterPayload | undefined>
  /** Ends every grant of a person, and with it every token. */
  endGrantsOf(person: string): Promise<void>
}

export function createOidcStore(documents: Documents, clock: () => number): OidcStore {
  const expiry = (seconds: number | undefined) =>
    seconds === undefined ? {} : { expiresAt: clock() + seconds }

  async function find(model: Model, id: string): Promise<AdapterPayload | undefined> {
    const document = await documents.get(KINDS[model], keyOf(model, id))
    return document && payloadOf(document, id)
  }

  async function upsert(model: Model, id: string, payload: AdapterPayload, seconds?: number) {
    const key = keyOf(model, id)
    const options = expiry(seconds)
    const { uid, userCode, grantId, accountId } = payload
    if (model === 'DeviceCode') await claimUserCode(String(userCode), key, options)
    // Two people who answer one code at once: the first answer stays.
    if (model === 'DeviceCode' && (accountId !== undefined || payload.error !== undefined)) {
      if (!(await documents.create('oidc_decision', key, {}, options))) {
        throw new errors.InvalidGrant('device code already answered')
      }
    }
    const group = model === 'Grant' ? accountId : grantId
    await documents.put(KINDS[model], key, kept(model, payload), {
      ...options,
      ...(typeof group === 'string' ? { group } : {}),
    })
    if (model === 'Session' && typeof uid === 'string') {
      await documents.put('oidc_uid', keyOf('uid', uid), { key }, options)
    }
  }

  async function claimUserCode(code: string, key: string, options: { expiresAt?: number }) {
    const id = keyOf('user_code', code)
    if (await documents.create('oidc_user_code', id, { key }, options)) return
    const there = await documents.get('oidc_user_code', id)
    if (there?.value.key !== key) throw new Error('this user code is taken')
  }

  async function findBy(kind: string, id: string, model: Model, name: (key: string) => string) {
    const key = (await documents.get(kind, id))?.value.key
    if (typeof key !== 'string') return undefined
    const document = await documents.get(KINDS[model], key)
    return document && payloadOf(document, name(key))
  }

  /** @throws {errors.InvalidGrant} for all but one */
  async function consume(model: Model, id: string): Promise<void> {
    const key = keyOf(model, id)
    const found = await documents.get(KINDS[model], key)
    if (found === undefined) throw new errors.InvalidGrant('it is gone')
    const { value, version, expiresAt, group } = found
    const first =
      value.consumed === undefined &&
      (await documents.replace(
        KINDS[model],
        key,
        version,
        { ...value, consumed: Math.floor(clock()) },
        {
          ...(expiresAt === undefined ? {} : { expiresAt }),
          ...(group === undefined ? {} : { group }),
        },
      ))
    if (first) return
    if (model === 'RefreshToken' && typeof value.grantId === 'string') {
      await documents.remove(KINDS.Grant, keyOf('Grant', value.grantId))
    }
    throw new errors.InvalidGrant('it was used before')
  }

  async function removeGroup(model: Model, group: string): Promise<void> {
    for (;;) {
      const found = await documents.list(KINDS[model], { group, limit: LISTED })
      for (const { id } of found) await documents.remove(KINDS[model], id)
      if (found.length < LISTED) return
    }
  }

  function adapter(name: string): Adapter {
    // Clients are configured, and replays are spent in the ledger before a request comes here.
    if (!Object.hasOwn(KINDS, name)) return nothing(name)
    const model = name as Model
    return {
      upsert: (id, payload, seconds) => upsert(model, id, payload, seconds),
      find: (id) => find(model, id),
      findByUid: (uid) => findBy('oidc_uid', keyOf('uid', uid), model, () => `${KEPT}session`),
      findByUserCode: (code) =>
        findBy('oidc_user_code', keyOf('user_code', code), model, (key) => KEPT + key),
      consume: (id) => consume(model, id),
      destroy: async (id) => void (await documents.remove(KINDS[model], keyOf(model, id))),
      revokeByGrantId: (grantId) => removeGroup(model, grantId),
    }
  }

  return { adapter, find, endGrantsOf: (person) => removeGroup('Grant', person) }
}

/** A device code that is known by its hash alone stands for itself; see `oauth-door.ts`. */
function keyOf(model: string, id: string): string {
  if (model === 'DeviceCode' && id.startsWith(KEPT)) return id.slice(KEPT.length)
  return hashStrings([model, id])
}

function kept(model: Model, { jti: _, ...payload }: AdapterPayload): JsonObject {
  if (model !== 'Session') return plain(payload)
  const { accountId, loginTs, amr, acr, authorizations, ...rest } = payload
  return plain(rest)
}

/** Without the members that JSON does not know. */
function plain(payload: object): JsonObject {
  return JSON.parse(JSON.stringify(payload)) as JsonObject
}

function payloadOf(document: Document, id: string): AdapterPayload {
  return { ...document.value, jti: id } as AdapterPayload
}

function nothing(name: string): Adapter {
  const refuse = async (): Promise<never> => {
    throw new Error(`${name} is not kept`)
  }
  return {
    upsert: refuse,
    find: async () => undefined,
    findByUid: refuse,
    findByUserCode: refuse,
    consume: refuse,
    destroy: refuse,
    revokeByGrantId: refuse,
  }
}
