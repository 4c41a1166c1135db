import type { RecordedRevocation } from '../revocation/recorded.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import { cursorOf, isId, parseCursor } from './cursor.ts'
import type { AdminParts } from './parts.ts'
import { previewOf } from './preview.ts'
import { holderOf, holdersOf, revocationOf } from './revocation-view.ts'
import { checkRevoke, namesOf, revoke } from './revoke.ts'
import { type Route, route } from './route.ts'
import { holder } from './schemas/holders.ts'
import {
  newRevocations,
  preview,
  previewRequest,
  revocation,
  revocationDetail,
  revocationFilter,
  undo,
} from './schemas/revocations.ts'
import { touchOptions, touchRequest } from './schemas/touch.ts'
import { listOf, pageOf } from './schemas/values.ts'
import { revokeCommand, targetsOf } from './targets.ts'
import { checkTouchedForAll, touchHash } from './touch.ts'

const LIST = 'revocations'

export const revocationRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/revocations',
    role: 'viewer',
    summary: 'Every revocation that was made, newest first, with how many holders have it',
    query: revocationFilter,
    answer: pageOf(revocation),
    async run({ parts, query, now }) {
      const { cursor, limit, state, kind, text } = query
      const after = parseCursor(LIST, cursor)
      const page = await parts.history.list({ state, kind, text, after, limit })
      const holders = await parts.holders.list()
      return {
        items: page.items.map((each) => revocationOf(each, holders, now)),
        next: page.next === undefined ? null : cursorOf(LIST, page.next),
      }
    },
  }),
  route({
    method: 'POST',
    path: '/v1/revocations',
    role: 'admin',
    summary: 'Stops one or many things everywhere; in force within the bound when answered',
    body: newRevocations,
    answer: listOf(revocation),
    status: 201,
    change: {
      key: 'required',
      check: checkRevoke,
      asked: ({ body: { targets, reason, until } }) => ({
        reason: 'revoke',
        evidence: {
          targets: namesOf(targetsOf(targets)),
          reason,
          ...(until === undefined ? {} : { until }),
        },
      }),
    },
    async run(call) {
      const made = await revoke(call)
      const holders = await call.parts.holders.list()
      return { items: made.map((each) => revocationOf(each, holders, call.now)) }
    },
  }),
  route({
    method: 'POST',
    path: '/v1/revocations/preview',
    role: 'viewer',
    summary: 'What a revocation would hit now; changes nothing',
    body: previewRequest,
    answer: preview,
    run: ({ parts, body, now }) => previewOf(parts, targetsOf(body.targets), now),
  }),
  route({
    method: 'GET',
    path: '/v1/revocations/{id}',
    role: 'viewer',
    summary: 'One revocation, and which holder has it',
    answer: revocationDetail,
    async run({ parts, params, now }) {
      const found = await recorded(parts, params.id)
      const holders = await parts.holders.list()
      const told = revocationOf(found, holders, now)
      return {
        ...told,
        holders: { ...told.holders, items: holdersOf(found, holders) },
        command: revokeCommand([found.target]),
      }
    },
  }),
  route({
    method: 'POST',
    path: '/v1/revocations/{id}/undo',
    role: 'admin',
    summary: 'Ends a revocation before its time, everywhere',
    body: undo,
    answer: revocation,
    change: {
      key: 'accepted',
      check: checkTouchedForAll,
      asked: ({ params, body }) => ({
        reason: 'undo_revocation',
        evidence: { id: params.id, reason: body.reason },
      }),
    },
    async run({ parts, params, body: { reason }, admin, now, begunAt }) {
      const found = await recorded(parts, params.id)
      const holders = await parts.holders.list()
      const { state, canUndo } = revocationOf(found, holders, now)
      const isDone = found.undone?.by === admin.id && found.undone.reason === reason
      if (begunAt !== undefined && isDone) return revocationOf(found, holders, now)
      if (!canUndo) {
        const detail =
          state === 'live' ? 'what was issued cannot be let go again' : `it is ${state} already`
        return refuseAdmin({ code: 'conflict', detail })
      }
      const undone = await parts.history.undo(found.id, { reason, by: admin.id })
      return revocationOf(undone, holders, now)
    },
  }),
  route({
    method: 'POST',
    path: '/v1/touch',
    role: 'admin',
    summary: 'Options for touching a passkey for exactly one request',
    body: touchRequest,
    answer: touchOptions,
    async run({ parts, admin, body }) {
      if (admin.kind !== 'person') {
        return refuseAdmin({ code: 'conflict', detail: 'only people have passkeys' })
      }
      if ('targets' in body) targetsOf(body.targets)
      return parts.signIn.touch.options(admin, touchHash(body))
    },
  }),
  route({
    method: 'GET',
    path: '/v1/holders',
    role: 'viewer',
    summary: 'Who holds the revocations, and how fresh',
    answer: listOf(holder),
    run: async ({ parts }) => ({ items: (await parts.holders.list()).map(holderOf) }),
  }),
]

/** @throws {AdminRefusal} not_found */
async function recorded(parts: AdminParts, id = ''): Promise<RecordedRevocation> {
  const found = isId(id) ? await parts.history.get(id) : undefined
  return found ?? refuseAdmin({ code: 'not_found', what: 'revocation' })
}
