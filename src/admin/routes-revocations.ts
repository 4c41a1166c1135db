import type { RecordedRevocation } from '../revocation/recorded.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import { cursorOf, isId, parseCursor } from './cursor.ts'
import { whoMade } from './names.ts'
import type { AdminParts } from './parts.ts'
import { previewOf } from './preview.ts'
import { type Around, holderOf, holdersOf, revocationOf } from './revocation-view.ts'
import { checkRevoke, namesOf, revoke } from './revoke.ts'
import { type Call, type Route, route } from './route.ts'
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
import { checkedStop } from './stop-asked.ts'
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
    async run(call) {
      const { parts, query } = call
      const { cursor, limit, state, kind, text } = query
      const after = parseCursor(LIST, cursor)
      const page = await parts.history.list({ state, kind, text, after, limit })
      const around = await aroundOf(call, page.items)
      return {
        items: page.items.map((each) => revocationOf(each, around)),
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
      const around = await aroundOf(call, made)
      return { items: made.map((each) => revocationOf(each, around)) }
    },
  }),
  route({
    method: 'POST',
    path: '/v1/revocations/preview',
    role: 'viewer',
    summary: 'What a revocation would hit now; changes nothing',
    body: previewRequest,
    answer: preview,
    async run(call) {
      const { reason, until } = call.body
      return previewOf(call.parts, checkedStop(call), { reason, until, now: call.now })
    },
  }),
  route({
    method: 'GET',
    path: '/v1/revocations/{id}',
    role: 'viewer',
    summary: 'One revocation, and which holder has it',
    answer: revocationDetail,
    async run(call) {
      const found = await recorded(call.parts, call.params.id)
      const around = await aroundOf(call, [found])
      const told = revocationOf(found, around)
      return {
        ...told,
        holders: { ...told.holders, items: holdersOf(found, around.holders) },
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
    async run(call) {
      const { parts, params, admin, begunAt } = call
      const { reason } = call.body
      const found = await recorded(parts, params.id)
      const tell = async (one: RecordedRevocation) => revocationOf(one, await aroundOf(call, [one]))
      const { state, canUndo } = await tell(found)
      const isDone = found.undone?.by === admin.id && found.undone.reason === reason
      if (begunAt !== undefined && isDone) return tell(found)
      if (!canUndo) {
        const detail =
          state === 'live' ? 'what was issued cannot be let go again' : `it is ${state} already`
        return refuseAdmin({ code: 'conflict', detail })
      }
      const undone = await parts.history.undo(found.id, { reason, by: admin.id })
      return tell(undone)
    },
  }),
  route({
    method: 'POST',
    path: '/v1/touch',
    role: 'admin',
    summary: 'Options for touching a passkey for exactly one request',
    body: touchRequest,
    answer: touchOptions,
    async run({ parts, admin, body, now }) {
      if (admin.kind !== 'person') {
        return refuseAdmin({ code: 'conflict', detail: 'only people have passkeys' })
      }
      // Nobody touches for what would be refused.
      if ('targets' in body) checkedStop({ parts, body, now })
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

async function aroundOf(
  { parts, admin, now }: Pick<Call, 'parts' | 'admin' | 'now'>,
  revocations: readonly RecordedRevocation[],
): Promise<Around> {
  const [holders, names] = await Promise.all([
    parts.holders.list(),
    whoMade(parts, revocations, admin),
  ])
  return { holders, names, now }
}

/** @throws {AdminRefusal} not_found */
async function recorded(parts: AdminParts, id = ''): Promise<RecordedRevocation> {
  const found = isId(id) ? await parts.history.get(id) : undefined
  return found ?? refuseAdmin({ code: 'not_found', what: 'revocation' })
}
