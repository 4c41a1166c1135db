/** People and their passkeys, one document each, so that what belongs together changes together. */
import { hash } from 'node:crypto'
import type { Documents } from '../ledger/documents.ts'
import type { JsonObject } from '../lib/json.ts'
import type { Person, Role } from './admin.ts'
import { refuseAdmin } from './admin-refusal.ts'

export interface StoredPasskey {
  /** A hash, by which people and tools name it. */
  readonly id: string
  readonly credentialId: string
  /** COSE, base64url. */
  readonly publicKey: string
  readonly counter: number
  readonly label: string
  readonly createdAt: number
  readonly lastUsedAt?: number
  /** WebAuthn's BE and BS flags. */
  readonly backupEligible: boolean
  readonly backedUp: boolean
}

export interface StoredPerson {
  readonly name: string
  readonly role: Role
  readonly createdAt: number
  readonly lastSignInAt?: number
  /** When a passkey was removed: no touch until then counts any more. */
  readonly endedAt?: number
  readonly passkeys: readonly StoredPasskey[]
}

export interface PersonStore {
  get(id: string): Promise<StoredPerson | undefined>
  /** Everyone, who came last first. */
  all(): Promise<readonly (readonly [id: string, person: StoredPerson])[]>
  /** Whether there is nobody yet. */
  empty(): Promise<boolean>
  byCredential(credentialId: string): Promise<string | undefined>
  /** @throws {AdminRefusal} conflict when the passkey is somebody's already */
  add(id: string, person: StoredPerson): Promise<void>
  /**
   * Changes what is there at this moment, however many change it at once.
   *
   * @throws {AdminRefusal} not_found, and what `change` throws
   */
  change(id: string, change: (person: StoredPerson) => StoredPerson): Promise<StoredPerson>
  /**
   * Removes who is there at this moment, if `check` lets it.
   *
   * @throws {AdminRefusal} not_found, and what `check` throws
   */
  remove(id: string, check: (person: StoredPerson) => void): Promise<void>
  claimCredential(credentialId: string, person: string): Promise<void>
  releaseCredential(credentialId: string): Promise<void>
}

const KIND = 'person'
const CREDENTIAL = 'passkey'
const PAGE = 200
const MAX_TRIES = 16
export const MAX_PASSKEYS = 16

export function passkeyIdOf(credentialId: string): string {
  return hash('sha256', credentialId, 'base64url')
}

/** Whether what somebody did then still counts; in doubt about who it was, it does not. */
export function counts({ endedAt }: StoredPerson, at: number | undefined): boolean {
  return endedAt === undefined || (at !== undefined && at > endedAt)
}

export function createPersonStore(documents: Documents): PersonStore {
  /** @returns whom `alter` let through, with what it made of them */
  async function write<T>(
    id: string,
    alter: (person: StoredPerson) => T,
    documentOf: (altered: T) => readonly [value: JsonObject, expiresAt?: number],
  ): Promise<readonly [was: StoredPerson, is: T]> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const found = await documents.get(KIND, id)
      if (found === undefined) refuseAdmin({ code: 'not_found', what: 'person' })
      const was = found.value as unknown as StoredPerson
      const is = alter(was)
      const [value, expiresAt] = documentOf(is)
      const { version, order } = found
      if (await documents.replace(KIND, id, version, value, { order, expiresAt })) return [was, is]
    }
    return refuseAdmin({ code: 'conflict', detail: 'somebody else changes this person' })
  }

  async function claimCredential(credentialId: string, person: string): Promise<void> {
    if (await documents.create(CREDENTIAL, passkeyIdOf(credentialId), { person })) return
    refuseAdmin({ code: 'passkey_refused', check: 'known' })
  }

  return {
    claimCredential,
    change: async (id, alter) =>
      (await write(id, alter, (person) => [person as unknown as JsonObject]))[1],
    get: async (id) =>
      (await documents.get(KIND, id))?.value as unknown as StoredPerson | undefined,
    async all() {
      const people: (readonly [string, StoredPerson])[] = []
      let after: { order: number; id: string } | undefined
      for (;;) {
        const page = await documents.list(KIND, { limit: PAGE, after })
        people.push(...page.map(({ id, value }) => [id, value as unknown as StoredPerson] as const))
        const last = page.at(-1)
        if (last === undefined || page.length < PAGE) return people
        after = { order: last.order, id: last.id }
      }
    },
    empty: async () => (await documents.list(KIND, { limit: 1 })).length === 0,
    async byCredential(credentialId) {
      const found = await documents.get(CREDENTIAL, passkeyIdOf(credentialId))
      return typeof found?.value.person === 'string' ? found.value.person : undefined
    },
    async add(id, person) {
      for (const { credentialId } of person.passkeys) await claimCredential(credentialId, id)
      const value = person as unknown as JsonObject
      await documents.put(KIND, id, value, { order: person.createdAt })
    },
    async remove(id, check) {
      // What has expired is gone: so only who was checked is, and nobody they became meanwhile.
      const [{ passkeys }] = await write(id, check, () => [{}, 0])
      for (const { credentialId } of passkeys) {
        await documents.remove(CREDENTIAL, passkeyIdOf(credentialId))
      }
    },
    releaseCredential: async (credentialId) =>
      void (await documents.remove(CREDENTIAL, passkeyIdOf(credentialId))),
  }
}

/** As the admin side tells it; never a key. */
export function shown(id: string, person: StoredPerson): Person {
  const { name, role, createdAt, lastSignInAt, passkeys } = person
  return {
    id,
    name,
    role,
    createdAt,
    lastSignInAt,
    passkeys: passkeys.map((passkey) => ({
      id: passkey.id,
      label: passkey.label,
      createdAt: passkey.createdAt,
      lastUsedAt: passkey.lastUsedAt,
      backedUp: passkey.backedUp,
    })),
  }
}
