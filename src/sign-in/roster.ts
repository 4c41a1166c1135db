/**
 * Who can still let others in. Removing the last admin, from two windows at once, must fail in one of
 * them: everyone who stops being an admin passes this one document.
 */
import type { Documents } from '../ledger/documents.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { PersonStore } from './person.ts'

export interface Roster {
  add(person: string): Promise<void>
  /** @throws {AdminRefusal} last_admin when nobody else could sign in as an admin */
  leave(person: string): Promise<void>
}

const KIND = 'roster'
const ID = 'admins'
const MAX_TRIES = 16

export function createRoster(documents: Documents, people: PersonStore): Roster {
  async function read() {
    const found = await documents.get(KIND, ID)
    const admins = Array.isArray(found?.value.admins) ? (found.value.admins as string[]) : []
    return { version: found?.version, admins }
  }

  function write(version: string | undefined, admins: readonly string[]): Promise<boolean> {
    return version === undefined
      ? documents.create(KIND, ID, { admins })
      : documents.replace(KIND, ID, version, { admins })
  }

  async function isAdmin(id: string): Promise<boolean> {
    const person = await people.get(id)
    return person?.role === 'admin' && person.passkeys.length > 0
  }

  async function change(alter: (admins: readonly string[]) => Promise<readonly string[]>) {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { version, admins } = await read()
      if (await write(version, await alter(admins))) return
    }
    refuseAdmin({ code: 'conflict', detail: 'somebody else changes who is an admin' })
  }

  return {
    add: (person) =>
      change(async (admins) => [...admins.filter((each) => each !== person), person]),
    leave: (person) =>
      change(async (admins) => {
        const others: string[] = []
        for (const each of admins) if (each !== person && (await isAdmin(each))) others.push(each)
        if (others.length === 0) refuseAdmin({ code: 'last_admin' })
        return others
      }),
  }
}
