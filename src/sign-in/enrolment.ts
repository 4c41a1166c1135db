/**
 * Enrols a passkey with a one-time link: the only way in for somebody new.
 *
 * The order is the design: the ceremony is verified, the link is taken, the record is written, and only
 * then is there a passkey. A step that fails leaves a used link and nobody who could sign in.
 */
import type { Documents } from '../ledger/documents.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { Challenges } from './challenges.ts'
import type { Link, Links } from './links.ts'
import { parseName } from './names.ts'
import type { SignInLog, Site } from './options.ts'
import { MAX_PASSKEYS, type PersonStore, passkeyIdOf, type StoredPasskey } from './person.ts'
import type { Roster } from './roster.ts'
import type { Trail } from './trail.ts'
import { creationOptions, verifyCreation } from './webauthn.ts'
import { parseCreation } from './webauthn-input.ts'

export interface Enrolment {
  /** @throws {AdminRefusal} link_refused, request_invalid */
  begin(asked: Asked): Promise<Begun>
  /** @throws {AdminRefusal} link_refused, passkey_refused; request_invalid when the first one has no name */
  finish(answer: Answer, address: string | undefined): Promise<{ name: string }>
}

interface Asked {
  readonly link?: unknown
  /** What the first person is called, whom nobody could name; everyone else is named by who invites them. */
  readonly name?: unknown
}

interface Begun {
  /** Empty while the first one has not said it. */
  readonly name: string
  readonly role: string
  readonly first: boolean
  readonly options: object
}

interface Answer extends Asked {
  readonly label?: unknown
  readonly credential?: unknown
}

export interface EnrolmentParts {
  readonly site: Site
  readonly documents: Documents
  readonly people: PersonStore
  readonly roster: Roster
  readonly links: Links
  readonly challenges: Challenges
  readonly trail: Trail
  readonly log: SignInLog
  readonly clock: () => number
}

/** A link with the name of whoever it is for. */
type Named =
  | Exclude<Link, { kind: 'first' }>
  | (Extract<Link, { kind: 'first' }> & { name: string })

/** While the first person is being enrolled, nobody else is. */
const FIRST_SECONDS = 60
const MAX_LABEL = 60

export function createEnrolment(parts: EnrolmentParts): Enrolment {
  const { site, documents, people, links, challenges, trail, clock } = parts

  async function whoFor(link: Named, secret: string) {
    if (link.kind !== 'again') return { ...link, id: links.personOf(secret), existing: [] }
    const person = await people.get(link.person)
    if (person === undefined || person.passkeys.length >= MAX_PASSKEYS) {
      return refuseAdmin({ code: 'link_refused' })
    }
    return { ...person, id: link.person, existing: person.passkeys }
  }

  async function lookAt(secret: unknown, nameOf: () => string): Promise<Named> {
    const link = await links.look(secret)
    return link.kind === 'first' ? { ...link, name: nameOf() } : link
  }

  async function begin(asked: Asked): Promise<Begun> {
    const said = asked.name ?? ''
    const link = await lookAt(asked.link, () => (said === '' ? '' : parseName(said)))
    const text = asked.link as string
    const { id, name, role, existing } = await whoFor(link, text)
    const challenge = await challenges.create('enrol', links.idOf(text))
    const options = await creationOptions(site, { id, name }, challenge, existing)
    return { name, role, first: link.kind === 'first', options }
  }

  async function finish(answer: Answer, address: string | undefined) {
    const link = await lookAt(answer.link, () => parseName(answer.name))
    const text = answer.link as string
    const response = parseCreation(answer.credential)
    const made = await verifyCreation(site, response, (challenge) =>
      challenges.take(challenge, 'enrol', links.idOf(text)),
    )
    const { id } = await whoFor(link, text)
    const passkey: StoredPasskey = {
      ...made,
      id: passkeyIdOf(made.credentialId),
      label: labelOf(answer.label),
      createdAt: Math.floor(clock()),
    }
    if (link.kind === 'first') await beFirst()
    await links.take(text)
    return { name: await enrol(link, id, passkey, address) }
  }

  /** Links for the first person are made by every broker that starts with nobody; one is used. */
  async function beFirst(): Promise<void> {
    const expiresAt = clock() + FIRST_SECONDS
    const alone = await documents.create('first_person', 'first', {}, { expiresAt })
    if (!alone || !(await people.empty())) refuseAdmin({ code: 'link_refused' })
  }

  async function enrol(
    link: Named,
    id: string,
    passkey: StoredPasskey,
    address: string | undefined,
  ): Promise<string> {
    const person = link.kind === 'again' ? await people.get(link.person) : link
    if (person === undefined) return refuseAdmin({ code: 'link_refused' })
    const { name, role } = person
    const { id: passkeyId, label, backedUp } = passkey
    const evidence = { name, role, passkey: passkeyId, label, backedUp, invitedBy: link.by }
    await trail.event('passkey_enrolled', { principal: `person:${id}`, address, evidence })
    if (link.kind === 'again') {
      await people.claimCredential(passkey.credentialId, id)
      await people.change(id, (there) => ({ ...there, passkeys: [...there.passkeys, passkey] }))
    } else {
      await people.add(id, { name, role, createdAt: passkey.createdAt, passkeys: [passkey] })
    }
    if (role === 'admin') await parts.roster.add(id)
    parts.log.warn(
      { person: id, name, role, first: link.kind === 'first' },
      'a passkey was enrolled',
    )
    return name
  }

  return { begin, finish }
}

function labelOf(label: unknown): string {
  const text = typeof label === 'string' ? label.replace(/\p{C}/gu, '').trim() : ''
  return text === '' ? 'Passkey' : text.slice(0, MAX_LABEL)
}
