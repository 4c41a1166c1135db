/**
 * One-time links with which a passkey is enrolled. The secret stands in the fragment, which no browser
 * sends anywhere and no log sees; the page sends it in the body of its own requests. Opening a link
 * does not use it up: it is taken at the end of a ceremony that succeeded.
 */
import type { Documents } from '../ledger/documents.ts'
import type { Role } from './admin.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { Site } from './options.ts'
import { counts, type PersonStore } from './person.ts'
import { isSecret, keptId, newSecret } from './secret.ts'

export type Link =
  /** The first one, when there was nobody at all: who uses it says what they are called. */
  | { readonly kind: 'first'; readonly role: Role; readonly by: string }
  /** Somebody new. */
  | { readonly kind: 'new'; readonly name: string; readonly role: Role; readonly by: string }
  /** Another passkey for somebody who is there. */
  | { readonly kind: 'again'; readonly person: string; readonly by: string }

export interface Links {
  make(link: Link): Promise<{ url: string; expiresAt: number }>
  /** @throws {AdminRefusal} link_refused */
  look(secret: unknown): Promise<Link>
  /** Uses it up: for one caller. @throws {AdminRefusal} link_refused */
  take(secret: string): Promise<void>
  /** What challenges are bound to. */
  idOf(secret: string): string
  /** Who somebody new will be: the passkey is told before there is a person. */
  personOf(secret: string): string
}

const LINK_SECONDS = 3600
export const ENROL_PATH = '/sign-in/enrol'
const KIND = 'link'
const PERSON = 'person:'
/** 132 bits. */
const PERSON_CHARACTERS = 22

export interface LinkParts {
  readonly documents: Documents
  readonly people: Pick<PersonStore, 'get'>
  readonly site: Site
  readonly clock: () => number
}

export function createLinks({ documents, people, site, clock }: LinkParts): Links {
  const idOf = (secret: string) => keptId(KIND, secret)

  /** Who is no admin any more must not come back by a link of their own, nor whoever had their passkey. */
  async function mayStill(by: string, madeAt: number): Promise<boolean> {
    if (!by.startsWith(PERSON)) return true
    const maker = await people.get(by.slice(PERSON.length))
    return maker?.role === 'admin' && counts(maker, madeAt)
  }

  return {
    idOf,
    personOf: (secret) => keptId('person', secret).slice(0, PERSON_CHARACTERS),
    async make(link) {
      const secret = newSecret()
      const madeAt = Math.floor(clock())
      const expiresAt = madeAt + LINK_SECONDS
      await documents.put(KIND, idOf(secret), { ...link, madeAt }, { expiresAt })
      return { url: `${site.url}${ENROL_PATH}#${secret}`, expiresAt }
    },
    async look(secret) {
      if (!isSecret(secret)) refuseAdmin({ code: 'link_refused' })
      const found = await documents.get(KIND, idOf(secret))
      if (found === undefined) refuseAdmin({ code: 'link_refused' })
      const link = found.value as unknown as Link & { readonly madeAt: number }
      return (await mayStill(link.by, link.madeAt)) ? link : refuseAdmin({ code: 'link_refused' })
    },
    async take(secret) {
      if ((await documents.take(KIND, idOf(secret))) === undefined) {
        refuseAdmin({ code: 'link_refused' })
      }
    },
  }
}
