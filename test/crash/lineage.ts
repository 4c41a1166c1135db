/**
 * One broker after the other on one SQLite store, each ended by kill -9. Whatever was acknowledged by
 * one is still true at the next:
 *
 * - every token that a client received has its complete `issued` record;
 * - every proof that was answered with a token is still spent;
 * - every revocation that was acknowledged is still in the feed;
 * - the broker starts again and serves.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateSenderKey } from '../../src/token/proof.ts'
import { type Program, startProgram } from '../attacks/program.ts'
import { ask, FORM, formFor, type Got, send } from '../attacks/sender.ts'
import { makeSite, recordsIn, type Site } from '../attacks/site.ts'
import type { Start } from './broker-main.ts'

const IN_FLIGHT = 16

/** One broker after the other on one store, and what the clients of all of them hold. */
export class Lineage {
  readonly site: Site
  /** Answered with a token, in the order of the answers. */
  readonly received: Got[] = []
  readonly revoked = new Set<string>()
  readonly #issued = new Set<string>()
  readonly #read = new Set<string>()
  readonly #svid: string
  #next: Promise<Program>
  broker: Program | undefined

  constructor(site: Site, svid: string) {
    this.site = site
    this.#svid = svid
    this.#next = this.#load()
  }

  async #load(): Promise<Program> {
    const own = join(this.site.directory, 'compiled')
    const env = { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? own }
    const program = startProgram(['test/crash/broker-main.ts', this.site.config], env)
    await once(program.child, 'message')
    return program
  }

  /** What was compiled is kept by a process that ends in peace, which halves the start of all others. */
  async warm(): Promise<void> {
    await (await this.#next).stop('SIGTERM')
    this.#next = this.#load()
  }

  async start(start: Start): Promise<void> {
    const program = await this.#next
    this.broker = program
    this.#next = this.#load()
    const told = once(program.child, 'message')
    program.child.send(start)
    const started = await Promise.race([told.then(() => true), program.ended.then(() => false)])
    assert.ok(started, `the broker did not start again\n${program.printed()}`)
  }

  /** One client's request; what it is answered with is what counts as acknowledged. */
  async request(): Promise<void> {
    const key = generateSenderKey()
    const got = await ask(this.site, 'action', { key, svid: this.#svid }).catch(() => undefined)
    if (got?.status === 200) this.received.push(got)
  }

  async revoke(): Promise<void> {
    const value = `session-${this.revoked.size}-${Math.random()}`
    const id = await this.site.revoke({ kind: 'session', value }).catch(() => undefined)
    if (id !== undefined) this.revoked.add(id)
  }

  /** The broker that is running has begun after a kill: is everything still true? */
  async check(since: number): Promise<void> {
    await this.#readAudit()
    const form = formFor(this.#svid, 'session').toString()
    const port = Number(new URL(this.site.issuer).port)
    for (const { jti, proof } of this.received.slice(since)) {
      assert.ok(this.#issued.has(jti), 'a token exists without its record')
      const again = await send(port, '/token', { ...FORM, dpop: proof }, form)
      assert.equal(again.status, 400, `a spent proof is answered with ${again.status}`)
      assert.equal(again.json.error, 'invalid_dpop_proof')
    }
    const kept = await this.#feed()
    for (const id of this.revoked) assert.ok(kept.has(id), 'a revocation was forgotten')
    const { length } = this.received
    await this.request()
    assert.equal(this.received.length, length + 1, 'the broker serves again')
  }

  /** The files of the brokers that are dead do not change, so each is read once. */
  async #readAudit(): Promise<void> {
    for (const name of await readdir(this.site.auditDirectory)) {
      if (!name.endsWith('.jsonl') || this.#read.has(name)) continue
      const text = await readFile(join(this.site.auditDirectory, name), 'utf8')
      // The newest is still being written to; it is read again next time.
      if (!name.includes(`.${this.broker?.child.pid}-`)) this.#read.add(name)
      for (const { outcome, jti } of recordsIn(text)) {
        if (outcome === 'issued') this.#issued.add(String(jti))
      }
    }
  }

  async #feed(): Promise<Set<string>> {
    const response = await fetch(`${this.site.issuer}/revocations`)
    const ids = new Set<string>()
    let text = ''
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += Buffer.from(chunk).toString()
      if (text.includes('event: ready')) break
    }
    for (const [, payload = ''] of text.matchAll(/event: entry\ndata: [^.]+\.([^.]+)\./g)) {
      ids.add(String(JSON.parse(Buffer.from(payload, 'base64url').toString()).id))
    }
    return ids
  }

  async close(): Promise<void> {
    await this.broker?.stop('SIGKILL')
    await (await this.#next).stop('SIGKILL')
    await this.site.stop()
  }
}

export async function makeLineage(): Promise<Lineage> {
  const site = await makeSite({ changes: { revocation: { stale_after_ms: 10_000 } } })
  const lineage = new Lineage(site, await site.svid())
  await lineage.warm()
  return lineage
}

/** Requests without a pause until nothing answers any more. */
export async function load(lineage: Lineage): Promise<void> {
  const { broker } = lineage
  const alive = () => broker?.child.exitCode === null && broker.child.signalCode === null
  const worker = async (work: () => Promise<void>) => {
    while (alive()) {
      await work()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const workers = Array.from({ length: IN_FLIGHT }, () => worker(() => lineage.request()))
  await Promise.all([...workers, worker(() => lineage.revoke()), broker?.ended])
}
