// A sign-in for route tests: a word stands for an admin. The real one is tested beside its code.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, People, Person, Role, SignIn } from '../../src/sign-in/admin.ts'
import { refuseAdmin } from '../../src/sign-in/admin-refusal.ts'

export interface Known extends Omit<Partial<Admin>, 'kind'> {
  readonly role: Role
  readonly kind?: Admin['kind']
}

export interface TestSignIn extends Pick<SignIn, 'authenticate' | 'touch' | 'people'> {
  /** Who is signed in, by the word that stands for them. */
  readonly known: Map<string, Admin>
  /** Hashes for which options were given, and the touches that were accepted. */
  readonly touched: string[]
  add(word: string, admin: Known): void
}

export function createTestSignIn(): TestSignIn {
  const known = new Map<string, Admin>()
  const touched: string[] = []
  const add = (word: string, { role, kind = 'client', ...more }: Known) =>
    known.set(word, {
      ...{ id: `${kind}:${word}`, name: word, touchedAt: undefined, csrf: undefined },
      ...{ ...more, role, kind },
    })
  for (const role of ['viewer', 'approver', 'admin'] as const) add(role, { role })
  return {
    known,
    touched,
    add,
    async authenticate(ctx) {
      await sleep(0)
      const [, word] = /^Test (\S+)$/.exec(ctx.get('authorization')) ?? []
      if (word === undefined) return refuseAdmin({ code: 'signin_required', why: 'absent' })
      return known.get(word) ?? refuseAdmin({ code: 'signin_required', why: 'unknown' })
    },
    touch: {
      async options(_, hash) {
        return { challenge: hash }
      },
      async verify(_, hash, assertion) {
        if (assertion !== `touched ${hash}`) refuseAdmin({ code: 'touch_required' })
        touched.push(hash)
      },
    },
    people: createTestPeople(),
  }
}

function createTestPeople(): People {
  const people = new Map<string, Person>()
  const passkey = { id: 'k1', label: 'phone', createdAt: 2, lastUsedAt: undefined, backedUp: true }
  const add = (id: string, role: Role) =>
    people.set(id, {
      ...{ id, name: id, role, createdAt: 1, lastSignInAt: undefined },
      passkeys: [passkey],
    })
  add('alice', 'admin')
  add('bob', 'viewer')
  let links = 0
  const link = async () => {
    links += 1
    return { url: `https://admin.test/enrol#${links}`, expiresAt: 3600 }
  }
  const person = (id: string) => {
    const found = people.get(id)
    if (found === undefined) return refuseAdmin({ code: 'not_found', what: 'person' })
    return found
  }
  return {
    list: async () => [...people.values()],
    invite: link,
    inviteAgain: async (id) => {
      person(id)
      return link()
    },
    async setRole(id, role) {
      people.set(id, { ...person(id), role })
    },
    async remove(id) {
      if (person(id).role === 'admin') refuseAdmin({ code: 'last_admin' })
      people.delete(id)
    },
    async removePasskey(id, gone) {
      const { passkeys, ...rest } = person(id)
      const kept = passkeys.filter((each) => each.id !== gone)
      if (kept.length === passkeys.length) refuseAdmin({ code: 'not_found', what: 'passkey' })
      people.set(id, { ...rest, passkeys: kept })
    },
  }
}
