/**
 * Keeps what reports say of their senders. Of one client at most 200 are kept, from however many brokers
 * and however many at once, so that none can push the others off the list.
 *
 * A broker writes down who enters before it lists who is there: of two that look at once one has to look
 * again, and then counts the other's, whether or not its document is there yet.
 */
import type { Documents } from '../ledger/documents.ts'
import type { JsonObject } from '../lib/json.ts'
import { hashStrings } from '../token/hash-strings.ts'
import { HOLDER, holderDocument, holderId } from './holders.ts'
import type { VerifiedReport } from './report.ts'

const ENTERING = 'holder_entering'
/** Longer than it takes to write the document of one that was let in. */
const ENTERING_SECONDS = 30
const MAX_HOLDERS_OF_CLIENT = 200
/** For so long who is kept of a client that is full is not looked at again. */
const FULL_SECONDS = 10
/** What could not be written for others who wrote comes with the next report. */
const MAX_TRIES = 8

export interface HolderKeeper {
  /**
   * Keeps what a report says of its sender; of a client that has too many, only of those it has.
   *
   * @param now seconds since the epoch
   * @throws {Refusal} (as a rejection) `ledger_unavailable`
   */
  keep(report: VerifiedReport, now: number): Promise<void>
}

export function createHolderKeeper(
  documents: Pick<Documents, 'get' | 'create' | 'replace' | 'list'>,
): HolderKeeper {
  /** When a client was found full. Clients are those of the configuration, so there are few. */
  const fullAt = new Map<string, number>()
  /** One after the other, so that those of one broker do not make each other look again. */
  let entering: Promise<unknown> = Promise.resolve()

  function enter(client: string, id: string, now: number): Promise<boolean> {
    const turn = entering.then(() => (isFull(client, now) ? false : letIn(client, id, now)))
    entering = turn.catch(() => undefined)
    return turn
  }

  function isFull(client: string, now: number): boolean {
    const at = fullAt.get(client)
    return at !== undefined && Math.abs(now - at) < FULL_SECONDS
  }

  async function letIn(client: string, id: string, now: number): Promise<boolean> {
    const group = hashStrings([client])
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const before = await documents.get(ENTERING, group)
      const known = await documents.list(HOLDER, { group, limit: MAX_HOLDERS_OF_CLIENT })
      const recent = Object.entries(before?.value ?? {}).filter(
        ([, at]) => Math.abs(now - Number(at)) < ENTERING_SECONDS,
      )
      const taken = new Set([...known.map((each) => each.id), ...recent.map(([each]) => each)])
      if (!taken.has(id) && taken.size >= MAX_HOLDERS_OF_CLIENT) {
        fullAt.set(client, now)
        return false
      }
      const value: JsonObject = { ...Object.fromEntries(recent), [id]: now }
      const options = { expiresAt: now + ENTERING_SECONDS }
      const written =
        before === undefined
          ? await documents.create(ENTERING, group, value, options)
          : await documents.replace(ENTERING, group, before.version, value, options)
      if (written) return true
    }
    return false
  }

  return {
    async keep({ clientId: client, holder, kind, resource: server, at, lost, hearing }, now) {
      // What a process left behind when it ended says nothing of the present.
      if (hearing === undefined) return
      const id = holderId(holder, client)
      const said = { id: holder, kind, server, client, at, lastHeardAt: now, lost, ...hearing }
      const { value, options } = holderDocument(said, now)
      for (let tries = 0; tries < MAX_TRIES; tries += 1) {
        const before = await documents.get(HOLDER, id)
        // An old report sent again must not bring a holder back, nor take its word back.
        if (before !== undefined && Number(before.value.at) >= at) return
        if (before === undefined) {
          if (!(await enter(client, id, now))) return
          if (await documents.create(HOLDER, id, value, options)) return
        } else if (await documents.replace(HOLDER, id, before.version, value, options)) return
      }
    },
  }
}
