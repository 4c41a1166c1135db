/**
 * A fresh touch of a passkey for exactly one request. Whoever copied the cookie of a browser has no
 * passkey: they can neither stop widely, nor let go on what is stopped, nor let anybody in or keep
 * anybody out. Nor can who copied the tokens and key of a command line, once its sign-in is five
 * minutes old.
 */
import { hashJson } from '../action/hash.ts'
import type { Json } from '../lib/json.ts'
import type { Admin } from '../sign-in/admin.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import type { Call } from './route.ts'
import type { TouchRequest } from './schemas/touch.ts'
import { actionHash } from './targets.ts'

/** How old a touch at signing in may be, for command lines; a browser touches for the very request. */
const TOUCH_COUNTS_SECONDS = 300

/**
 * People alone have passkeys; programs and the control socket are not asked.
 *
 * @param hash what has to be touched for
 * @param touch what the passkey answered, of the request's body
 * @throws {AdminRefusal} touch_required
 */
export async function checkTouched(
  { parts, admin, now }: Pick<Call, 'parts' | 'admin' | 'now'>,
  hash: string,
  touch: unknown,
): Promise<void> {
  if (admin.kind !== 'person') return
  if (touch !== undefined) await parts.signIn.touch.verify(admin, hash, touch)
  else if (!touchedLately(admin, now)) refuseAdmin({ code: 'touch_required' })
}

/** The same for a route whose whole request is what is touched for. */
export async function checkTouchedForAll(
  call: Call<unknown, { readonly touch?: unknown } | undefined>,
): Promise<void> {
  const { touch, ...asked } = call.body ?? {}
  await checkTouched(call, requestHash(call.ctx.method, call.ctx.path, asked as Json), touch)
}

/**
 * A browser can touch for the very request, so an old touch does not do for it. Nor does one of a time
 * to come: the clock was set back, and nobody knows how old it is.
 */
function touchedLately({ csrf, touchedAt }: Admin, now: number): boolean {
  if (csrf !== undefined || touchedAt === undefined) return false
  return Math.abs(now - touchedAt) < TOUCH_COUNTS_SECONDS
}

/** What a touch is a touch for, as the request that it is for will have it. */
export function touchHash(asked: TouchRequest): string {
  switch (asked.change) {
    case 'undo_revocation':
      return requestHash('POST', pathTo('revocations', asked.revocation, 'undo'), {
        reason: asked.reason,
      })
    case 'invite_person':
      return requestHash('POST', pathTo('people'), { name: asked.name, role: asked.role })
    case 'invite_again':
      return requestHash('POST', pathTo('people', asked.person, 'invitations'), {})
    case 'change_role':
      return requestHash('PATCH', pathTo('people', asked.person), { role: asked.role })
    case 'remove_person':
      return requestHash('DELETE', pathTo('people', asked.person), {})
    case 'remove_passkey':
      return requestHash('DELETE', pathTo('people', asked.person, 'passkeys', asked.passkey), {})
    default:
      return actionHash(asked)
  }
}

/** No revocation's hash: those are of other members. */
function requestHash(method: string, path: string, body: Json): string {
  return hashJson({ method, path, body })
}

function pathTo(...names: readonly string[]): string {
  return ['/v1', ...names.map(encodeURIComponent)].join('/')
}
