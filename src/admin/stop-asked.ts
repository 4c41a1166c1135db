/** What has to be right about a stop: the same, in the same words, when it is made and when it is only looked at. */
import type { Catalogue } from '../catalogue/catalogue.ts'
import { isFarOff } from '../revocation/asked.ts'
import type { Target } from '../revocation/target.ts'
import type { AdminParts } from './parts.ts'
import { invalid } from './request.ts'
import type { NewRevocations } from './schemas/revocations.ts'
import { targetsOf } from './targets.ts'

/** @throws {AdminRefusal} request_invalid, pointing at what is wrong */
export function checkedStop({
  parts,
  body,
  now,
}: {
  readonly parts: Pick<AdminParts, 'catalogue'>
  readonly body: Pick<NewRevocations, 'targets' | 'until'>
  readonly now: number
}): Target[] {
  const targets = targetsOf(body.targets)
  targets.forEach((target, at) => {
    const pointer = `/targets/${at}/value`
    if (isFarOff(target, now)) invalid(pointer, 'is a time to come, and could not be undone')
    const known = knownAs(target, parts.catalogue())
    if (known !== undefined) invalid(pointer, `is no server's resource; one is ${known}`)
  })
  if (body.until !== undefined && body.until <= now) invalid('/until', 'is in the past')
  return targets
}

/** The server of the catalogue that is spelled otherwise: tokens name it so, and would go on. */
function knownAs({ kind, value }: Target, { servers }: Catalogue): string | undefined {
  if (kind !== 'server' || servers.has(value)) return undefined
  return [...servers.keys()].find((known) => plain(known) === plain(value))
}

function plain(resource: string): string {
  return new URL(resource).href.replace(/\/+$/, '')
}
