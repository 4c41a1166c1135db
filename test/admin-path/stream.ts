/** Admins at work: a stream of changes, each sent again until some broker has acknowledged it. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { onSocket, type Said } from './doors.ts'
import { newPerson } from './people.ts'
import type { BrokerProcess } from './place.ts'

/** One request, and what was said to it in the end. */
export interface Sent {
  readonly method: string
  readonly path: string
  readonly body: object | undefined
  readonly key: string
  readonly said: Said
  /** How often nobody answered. */
  readonly unanswered: number
}

export interface Revoked {
  readonly sent: Sent
  readonly reason: string
  readonly workloads: readonly string[]
  readonly ids: readonly string[]
  undone: boolean
}

/** Everything that was acknowledged. */
export interface Done {
  readonly revoked: Revoked[]
  /** Links, by the name of who was invited. */
  readonly invited: Map<string, string>
  /** Roles of people; undefined for who was removed. */
  readonly roles: Map<string, string | undefined>
  acknowledged: number
  unanswered: number
}

/** Later than the time after which another broker takes over what a dead one has begun. */
const PATIENCE_MS = 90_000

/** Brokers come and go in the list. */
async function send(
  brokers: readonly BrokerProcess[],
  [method, path, body]: readonly [string, string, object?],
): Promise<Sent> {
  const key = randomUUID()
  const end = performance.now() + PATIENCE_MS
  for (let unanswered = 0; ; ) {
    const broker = brokers[Math.floor(Math.random() * brokers.length)]
    const ask = broker && onSocket(broker)
    const headers = { 'idempotency-key': key, 'x-writ-user': 'night-shift' }
    const said = await ask?.(method, path, body, headers).catch(() => undefined)
    if (said === undefined) unanswered += 1
    const isOpen = said === undefined || said.status === 503 || isStillRunning(said)
    if (!isOpen) return { method, path, body, key, said, unanswered }
    if (performance.now() > end) throw new Error(`${method} ${path}: ${JSON.stringify(said)}`)
    await sleep(50)
  }
}

const isStillRunning = ({ status, json }: Said) =>
  status === 409 && json.detail === 'the same request is still being worked on'

export interface Work {
  readonly brokers: readonly BrokerProcess[]
  readonly admins: number
  /** Each of them does so many things. */
  readonly changes: number
  readonly done: Done
}

export const nothingDone = (): Done => ({
  ...{ revoked: [], invited: new Map(), roles: new Map(), acknowledged: 0, unanswered: 0 },
})

export async function work({ brokers, admins, changes, done }: Work): Promise<void> {
  const one = async (admin: number) => {
    const own: Revoked[] = []
    const people: string[] = []
    for (const name of ['Ann', 'Ben']) {
      people.push(await newPerson(brokers[admin % brokers.length]!, `${name} ${admin}`))
    }
    for (const id of people) done.roles.set(id, 'viewer')
    for (let n = 0; n < changes; n++) {
      const sent = await change(admin, n, own, people)
      done.unanswered += sent.unanswered
      done.acknowledged += 1
    }
  }
  async function change(admin: number, n: number, own: Revoked[], people: string[]): Promise<Sent> {
    const tag = `${admin}-${n}`
    switch (n % 6) {
      case 0:
      case 3:
        return await revoke(tag, n % 4 === 0 ? 1 : 3, own)
      case 1:
        return await undo(own.find((each) => !each.undone)!)
      case 2:
        return await invite(`Guest ${tag}`)
      case 4:
        return await setRole(people[0]!, n % 12 === 4 ? 'approver' : 'viewer')
      default:
        return people.length > 1 ? await remove(people.pop()!) : await invite(`Guest ${tag}`)
    }
  }

  async function revoke(tag: string, count: number, own: Revoked[]): Promise<Sent> {
    const reason = `night ${tag} of ${randomUUID()}`
    const workloads = Array.from(
      { length: count },
      (_, n) => `spiffe://corp.test/night/${tag}/${n}`,
    )
    const targets = workloads.map((value) => ({ kind: 'agent', value }))
    const sent = await send(brokers, ['POST', '/v1/revocations', { targets, reason }])
    const { status, json } = sent.said
    if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`)
    const ids = (json.items as { id: string }[]).map(({ id }) => id)
    const revoked = { sent, reason, workloads, ids, undone: false }
    own.push(revoked)
    done.revoked.push(revoked)
    return sent
  }

  async function undo(revoked: Revoked): Promise<Sent> {
    const [id] = revoked.ids
    const sent = await send(brokers, ['POST', `/v1/revocations/${id}/undo`, { reason: 'over' }])
    if (sent.said.status !== 200) throw new Error(JSON.stringify(sent.said))
    revoked.undone = true
    return sent
  }

  async function invite(name: string): Promise<Sent> {
    const sent = await send(brokers, ['POST', '/v1/people', { name, role: 'viewer' }])
    const { status, json } = sent.said
    // Told once: who did not hear it has to ask anew, with another key.
    if (status === 201) done.invited.set(name, String(json.url))
    else if (status !== 409 || sent.unanswered === 0) throw new Error(JSON.stringify(sent.said))
    return sent
  }

  async function setRole(id: string, role: string): Promise<Sent> {
    const sent = await send(brokers, ['PATCH', `/v1/people/${id}`, { role }])
    if (sent.said.status !== 204) throw new Error(JSON.stringify(sent.said))
    done.roles.set(id, role)
    return sent
  }

  async function remove(id: string): Promise<Sent> {
    const sent = await send(brokers, ['DELETE', `/v1/people/${id}`])
    const { status } = sent.said
    // The one that was killed may have removed them before it could say so.
    const isGone = status === 404 && sent.unanswered > 0
    if (status !== 204 && !isGone) throw new Error(JSON.stringify(sent.said))
    done.roles.set(id, undefined)
    return sent
  }

  await Promise.all(Array.from({ length: admins }, (_, admin) => one(admin)))
}
