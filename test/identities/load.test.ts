// Trust bundles are fetched, rotated and withdrawn, out of every kind of source, while 200 exchanges a second
// come in over both listeners: every answer is one that a bundle in effect at that moment calls for.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { generateSenderKey, makeProof } from '../../src/token/proof.ts'
import { makeKey, svid } from '../identity/svids.ts'
import { forms, send, tlsOf } from './ask.ts'
import { type Changing, changingDomains } from './changing.ts'
import { identityBy, makeAuthority, seconds } from './domain.ts'
import { type Answer, History, KINDS, type Kind } from './history.ts'
import { startWorld, type World } from './world.ts'

const RATE = 200
const LOAD_MS = 8_000
/** A machine that is too busy for as many changes in that time gets more of it. */
const MOST_MS = 60_000
const CHANGES = 6
/** More than this at once would measure a queue and nothing else. */
const MAX_UNDER_WAY = 400
const POOL = 3
/** A fetch may take too long on a machine that is busy. */
const MAX_RELOADS = 5

interface Member {
  readonly key: ReturnType<typeof makeKey>
  readonly authority: ReturnType<typeof makeAuthority>
  ask(kind: Kind): Promise<Answer>
}

/** Somebody of this domain, who has SVIDs by a key and an authority of their own. */
function makeMember(world: World, domain: string, name: string, http: HttpAgent): Member {
  const key = makeKey('ES256', name)
  const authority = makeAuthority(name)
  const id = `spiffe://${domain}/agents/${name}`
  return { key, authority, ask: asker(world, id, { key, authority }, http) }
}

function asker(
  world: World,
  id: string,
  by: Pick<Member, 'key' | 'authority'>,
  http: HttpAgent,
): Member['ask'] {
  const form = forms(world)
  const iat = Math.floor(seconds()) - 1
  const text = svid(by.key, { payload: { sub: id, aud: world.issuer, iat, exp: iat + 300 } })
  const https = new HttpsAgent({
    ...tlsOf(world, identityBy(by.authority, id)),
    keepAlive: true,
    maxSockets: 4,
  })
  world.closing(() => https.destroy())
  const sender = generateSenderKey()
  const url = `${world.issuer}/token`
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  return async (kind) => {
    const fields = kind === 'jwt' ? form.exchange(text) : form.alone({ client_id: id })
    const body = new URLSearchParams(fields).toString()
    const proof: Record<string, string> =
      kind === 'jwt' ? { dpop: makeProof(sender, { method: 'POST', url, now: seconds() }) } : {}
    const from = performance.now()
    const { status } = await send(kind === 'jwt' ? url : `${world.mtlsUrl}/token`, {
      body,
      headers: { ...type, ...proof },
      tls: { agent: kind === 'jwt' ? http : https },
    })
    const granted = status === 200 ? true : status === 400 || status === 401 ? false : undefined
    return { from, to: performance.now(), granted, status }
  }
}

test('trust is fetched, rotated and withdrawn under load without one wrong answer', async (t) => {
  const stack = new AsyncDisposableStack()
  t.after(() => stack.disposeAsync())
  const hooks = { after: (hook: () => Promise<void>) => void stack.defer(hook) }
  const directory = await mkdtemp(join(tmpdir(), 'writ-load-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const domains = await changingDomains(hooks, directory)
  const world = await startWorld(hooks, { trust: domains.map(({ trust }) => trust) })
  const http = new HttpAgent({ keepAlive: true, maxSockets: 64 })
  world.closing(() => http.destroy())
  const reload = () => world.running.reload()

  const seed = Date.now() % 2 ** 31
  t.diagnostic(`seed ${seed}`)
  const random = randomFrom(seed)
  let loading = true

  const histories = domains.map((domain) => new History(domain.name))
  const pools = domains.map(({ name }) =>
    Array.from({ length: POOL }, (_, i) => makeMember(world, name, `w${i}`, http)),
  )
  // Their neighbours' keys and authorities, under the names of this domain.
  const forgers = domains.map(({ name }, at) => {
    const by = pools[(at + 1) % pools.length]![0]!
    return asker(world, `spiffe://${name}/agents/w0`, by, http)
  })

  async function change(domain: Changing, at: number): Promise<void> {
    const history = histories[at]!
    const pool = pools[at]!
    let last: Member | undefined
    for (let sequence = 2; loading || last === undefined; sequence += 1) {
      const some = () => pool.filter(() => random() < 0.5)
      const emptied = last !== undefined && domain.own === undefined && random() < 0.2
      const [jwt, x509] = emptied ? [[], []] : [some(), some()]
      // One that is in this bundle and in no other, which shows when it is in effect.
      const marker = emptied
        ? undefined
        : makeMember(world, domain.name, `only-in-${sequence}`, http)
      const also = marker === undefined ? [] : [marker]
      const own = domain.own === undefined ? [] : [domain.own]
      const numbers = (list: readonly Member[]) => new Set(list.map((one) => pool.indexOf(one)))
      const settled = history.begin({ jwt: numbers(jwt), x509: numbers(x509) }, emptied)
      await domain.put({
        sequence,
        keys: [...jwt, ...also].map(({ key }) => key),
        authorities: [...own, ...[...x509, ...also].map(({ authority }) => authority)],
      })
      if (domain.onReload) await reload()
      await inEffect(marker ?? last!, marker !== undefined, domain)
      settled()
      if (marker !== undefined) last = marker
      await sleep(100 + 150 * random())
      if (random() < 0.3) await domain.trouble(reload)
    }
  }

  /** Waits until the marker is believed, or is not any more. One reload is enough where nothing fails. */
  async function inEffect(marker: Member, believed: boolean, domain: Changing): Promise<void> {
    for (const kind of KINDS) {
      for (let looks = 1; ; looks += 1) {
        const { granted } = await marker.ask(kind)
        if (granted === believed) break
        if (domain.onReload) {
          assert.ok(looks <= MAX_RELOADS, `${domain.name} has not heard of its bundle`)
          await reload()
        } else await sleep(5)
      }
    }
  }

  const changing = Promise.all(domains.map(change))
  const pending = new Set<Promise<void>>()
  let [sent, broken, forged] = [0, 0, 0]
  const started = performance.now()
  const elapsed = () => performance.now() - started
  const enough = () => histories.every(({ changes }) => changes >= CHANGES)
  while (elapsed() < LOAD_MS || (!enough() && elapsed() < MOST_MS)) {
    const due = Math.floor((elapsed() * RATE) / 1000)
    while (sent < due && pending.size < MAX_UNDER_WAY) {
      sent += 1
      const at = Math.floor(random() * domains.length)
      const kind = KINDS[Math.floor(random() * KINDS.length)]!
      const member = Math.floor(random() * (POOL + 0.5))
      const forging = member >= POOL
      const asked = forging ? forgers[at]!(kind) : pools[at]![member]!.ask(kind)
      const one = asked.then((answer) => {
        if (answer.granted === undefined) broken += 1
        else if (!forging) histories[at]!.answered({ ...answer, kind, member })
        else {
          forged += 1
          assert.equal(answer.granted, false, 'a forged SVID is believed')
        }
      })
      pending.add(one)
      void one.finally(() => pending.delete(one)).catch(() => undefined)
    }
    await sleep(5)
  }
  const rate = sent / (elapsed() / 1000)
  await Promise.all(pending)
  loading = false
  await changing

  const told = histories.map((history) => history.judge())
  const sum = (what: (one: (typeof told)[number]) => number) =>
    told.reduce((total, one) => total + what(one), 0)
  t.diagnostic(
    `${sent} exchanges, ${Math.round(rate)} a second; ${sum((one) => one.changes)} changes of bundles, ` +
      `${sum((one) => one.emptied)} of them withdrawals; ` +
      `${sum((one) => one.granted)} granted, ${sum((one) => one.refused)} refused, ${forged} forged, ` +
      `${sum((one) => one.either)} in the moment of a change, ${broken} not answered; ` +
      `${sum((one) => one.wrong.length)} wrong`,
  )
  for (const { wrong } of told) assert.deepEqual(wrong, [])
  assert.ok(broken <= sent / 100, `${broken} of ${sent} were not answered`)
  // A load that met few of the bundles, or few of one kind of answer, would have shown nothing.
  for (const { changes, met } of told) {
    assert.ok(met > changes / 2, `${met} of ${changes} bundles were asked about`)
  }
  assert.ok(sum((one) => one.granted) > 0 && sum((one) => one.refused) > 0)
  const reasons = (await world.audited())
    .filter(({ outcome }) => outcome === 'refused')
    .map(({ reason, evidence }) => JSON.stringify([reason, evidence]))
  for (const reason of new Set(reasons)) {
    // The last two are of a moment in which a busy machine let it wait.
    assert.match(
      reason,
      /^\["identity_invalid",\{"check":"(key|signature|chain)"\}\]$|unavailable|revocations_stale/,
    )
  }
})

/** Repeatable; a linear congruential generator. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
