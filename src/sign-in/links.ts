/**
 * One-time links with which a passkey is enrolled. The secret stands in the fragment, which no browser
 * sends anywhere and no log sees; the page sends it in the body of its own requests. Opening a link
 * does not use it up: it is taken at the end of a ceremony that succeeded.
 */
import type { Documents } from '../ledger/documents.ts'
import type { Role } from './admin.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { Site } from './options.ts'
import { isSecret, keptId, newSecret } from './secret.ts'

export type Link =
  /** Somebody new. `first` when there was nobody at all. */
  | {
      readonly kind: 'first' | 'new'
      readonly name: string
      readonly role: Role
      readonly by: string
    }
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

export const LINK_SECONDS = 3600
export const ENROL_PATH = '/sign-in/enrol'
const KIND = 'link'
/** 132 bits. */
const PERSON_CHARACTERS = 22

export function createLinks(documents: Documents, site: Site, clock: () => number): Links {
  const idOf = (secret: string) => keptId(KIND, secret)
  return {
    idOf,
    personOf: (secret) => keptId('person', secret).slice(0, PERSON_CHARACTERS),
    async make(link) {
      const secret = newSecret()
      const expiresAt = Math.floor(clock()) + LINK_SECONDS
      await documents.put(KIND, idOf(secret), { ...link }, { expiresAt })
      return { url: `${site.url}${ENROL_PATH}#${secret}`, expiresAt }
    },
    async look(secret) {
      if (!isSecret(secret)) refuseAdmin({ code: 'link_refused' })
      const found = await documents.get(KIND, idOf(secret))
      if (found === undefined) refuseAdmin({ code: 'link_refused' })
      return found.value as unknown as Link
    },
    async take(secret) {
      if ((await documents.take(KIND, idOf(secret))) === undefined) {
        refuseAdmin({ code: 'link_refused' })
      }
    },
  }
}
