/** Who may sign in, and what admins change of it. Each change is recorded before it is made. */
import type { OidcStore } from './adapter.ts'
import type { Admin, People, Person } from './admin.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { BrowserSignIns } from './browser-sign-ins.ts'
import type { Links } from './links.ts'
import { parseName, parseRole } from './names.ts'
import { type PersonStore, shown } from './person.ts'
import type { Roster } from './roster.ts'
import type { Trail } from './trail.ts'

export interface PeopleParts {
  readonly people: PersonStore
  readonly roster: Roster
  readonly links: Links
  readonly browsers: BrowserSignIns
  readonly store: OidcStore
  readonly trail: Trail
  readonly clock: () => number
}

export function createPeople(parts: PeopleParts): People {
  const { people, roster, links, trail, clock } = parts

  async function person(id: string) {
    const found = await people.get(id)
    if (found === undefined) return refuseAdmin({ code: 'not_found', what: 'person' })
    return found
  }

  /** An admin stops being one only after it is sure that there is another; who stays one comes back. */
  async function leaving(id: string, isAdmin: boolean, change: () => Promise<void>) {
    if (!isAdmin) return await change()
    await roster.leave(id)
    try {
      await change()
    } catch (error) {
      await roster.add(id)
      throw error
    }
  }

  function checkSame(same: boolean): void {
    if (!same) refuseAdmin({ code: 'conflict', detail: 'somebody else changes this person' })
  }

  async function endSignInsOf(id: string): Promise<void> {
    await parts.browsers.endAllOf(id)
    await parts.store.endGrantsOf(id)
  }

  const about = (id: string | undefined, by: Admin, evidence: Record<string, unknown>) => ({
    ...(id === undefined ? {} : { principal: `person:${id}` }),
    evidence: { ...evidence, by: by.id },
  })

  return {
    list: async () => (await people.all()).map(([id, found]): Person => shown(id, found)),

    async invite({ name, role }, by) {
      const evidence = { name: parseName(name), role: parseRole(role) }
      await trail.event('person_invited', about(undefined, by, evidence))
      return await links.make({ kind: 'new', ...evidence, by: by.id })
    },

    async inviteAgain(id, by) {
      const { name, role } = await person(id)
      await trail.event('passkey_invited', about(id, by, { name, role }))
      return await links.make({ kind: 'again', person: id, by: by.id })
    },

    async setRole(id, role, by) {
      const to = parseRole(role)
      const { name, role: from } = await person(id)
      if (from === to) return
      await leaving(id, from === 'admin', async () => {
        await trail.event('role_changed', about(id, by, { name, from, to }))
        await people.change(id, (there) => {
          checkSame(there.role === from)
          return { ...there, role: to }
        })
        if (to === 'admin') await roster.add(id)
      })
    },

    async remove(id, by) {
      const { name, role } = await person(id)
      await leaving(id, role === 'admin', async () => {
        await trail.event('person_removed', about(id, by, { name, role }))
        // From here on nothing of theirs is believed: whoever asks is looked up each time.
        // One who was made an admin since has not left the roster.
        await people.remove(id, (there) => checkSame(there.role === role))
      })
      await endSignInsOf(id)
    },

    async removePasskey(id, passkey, by) {
      const { name, role, passkeys } = await person(id)
      const gone = passkeys.find((each) => each.id === passkey)
      if (gone === undefined) refuseAdmin({ code: 'not_found', what: 'passkey' })
      await leaving(id, role === 'admin' && passkeys.length === 1, async () => {
        await trail.event('passkey_removed', about(id, by, { name, passkey, label: gone.label }))
        await people.change(id, (there) => {
          const left = there.passkeys.filter((each) => each.id !== passkey)
          // Who became an admin in between, or lost the others, has not been let go of.
          checkSame(left.length > 0 || (there.role === role && passkeys.length === 1))
          return { ...there, passkeys: left, endedAt: Math.floor(clock()) }
        })
      })
      await people.releaseCredential(gone.credentialId)
      // Whoever holds what was removed may have signed in with it.
      await endSignInsOf(id)
    },
  }
}
