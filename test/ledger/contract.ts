/** What every ledger promises; run unchanged for each store. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { Refusal } from '../../src/refusal.ts'

export interface Subject {
  /** An open ledger; `broker` when it is one that binds. */
  readonly ledger: Ledger
  readonly binds: boolean
  /** Makes the store unreachable, as far as that is possible. */
  breakStore(): Promise<void>
  close(): Promise<void>
}

const inAMinute = (): number => Date.now() / 1000 + 60
const newId = (): string => `id:${randomUUID()}`
const countTrue = (answers: readonly boolean[]): number => answers.filter(Boolean).length

export function isRefusal(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Refusal && error.reason.code === code
}

const hostileIds: readonly [what: string, id: string][] = [
  ['nothing', ''],
  ['257 characters', 'a'.repeat(257)],
  ['a space', 'a b'],
  ['a line break', 'a\r\nFLUSHALL'],
  ['a NUL', 'a\0'],
  ['unicode', 'ключ'],
  ['a lone surrogate', 'a\ud800'],
  ['no string', 7 as unknown as string],
]

export function ledgerContract(
  name: string,
  make: () => Promise<Subject>,
  skip: string | false = false,
): void {
  describe(`${name} keeps the ledger's promise`, { skip }, () => {
    let subject: Subject
    let ledger: Ledger
    before(async () => {
      subject = await make()
      ledger = subject.ledger
    })
    after(() => subject?.close())

    it('an id can be spent once', async () => {
      const id = newId()
      assert.equal(await ledger.spend(id, inAMinute()), true)
      assert.equal(await ledger.spend(id, inAMinute()), false)
      assert.equal(await ledger.spend(id, inAMinute() + 200), false, 'with another expiry too')
    })

    it('what is spent can be asked, and asking spends nothing', async () => {
      const id = newId()
      assert.equal(await ledger.isSpent(id), false)
      assert.equal(await ledger.isSpent(id), false)
      assert.equal(await ledger.spend(id, inAMinute()), true)
      assert.equal(await ledger.isSpent(id), true)
      const proof = newId()
      await ledger.use(newId(), 2, proof, inAMinute())
      assert.equal(await ledger.isSpent(proof), true)
    })

    for (const count of [50, 1000]) {
      it(`of ${count} concurrent spends of one id, exactly one wins`, async () => {
        const id = newId()
        const spends = Array.from({ length: count }, (_, n) =>
          ledger.spend(id, inAMinute() + (n % 3)),
        )
        assert.equal(countTrue(await Promise.all(spends)), 1)
      })
    }

    it('of a thousand ids at once, each can be spent', async () => {
      const spends = Array.from({ length: 1000 }, () => ledger.spend(newId(), inAMinute()))
      assert.equal(countTrue(await Promise.all(spends)), 1000)
    })

    it('ids that differ in any way are different ids', async () => {
      const id = newId()
      const others = [id, `${id}:`, `:${id}`, id.toUpperCase(), `{${id}}`, `${id}*`, `s${id}`]
      for (const other of others) assert.equal(await ledger.spend(other, inAMinute()), true, other)
    })

    it('the longest id works', async () => {
      const id = '~'.repeat(256 - 36) + randomUUID()
      assert.equal(await ledger.spend(id, inAMinute()), true)
      assert.equal(await ledger.spend(id, inAMinute()), false)
    })

    for (const [what, id] of hostileIds) {
      it(`an id with ${what} is our caller's mistake`, async () => {
        await assert.rejects(ledger.spend(id, inAMinute()), TypeError)
        await assert.rejects(ledger.use(id, 1, newId(), inAMinute()), TypeError)
        await assert.rejects(ledger.use(newId(), 1, id, inAMinute()), TypeError)
        await assert.rejects(ledger.bind(id, 'v', inAMinute()), TypeError)
        await assert.rejects(ledger.isSpent(id), TypeError)
      })
    }

    for (const time of [Number.NaN, Number.POSITIVE_INFINITY, Date.now()]) {
      it(`${time} is not a time in seconds`, async () => {
        await assert.rejects(ledger.spend(newId(), time), TypeError)
      })
    }

    it('what has ended cannot be spent, for its mark would not be kept', async () => {
      const id = newId()
      for (const expiresAt of [0, -1, Date.now() / 1000 - 60]) {
        await assert.rejects(ledger.spend(id, expiresAt), isRefusal('token_expired'))
      }
    })

    it('a mark outlives the expiry by the skew that verifiers grant', async () => {
      const id = newId()
      const expiresAt = Date.now() / 1000 + 0.2
      assert.equal(await ledger.spend(id, expiresAt), true)
      await sleep(400)
      assert.equal(await ledger.spend(id, expiresAt), false)
    })

    it('what may have been forgotten is refused', async () => {
      const since = ledger.honoursFrom(newId())
      assert.ok(since <= Date.now() / 1000, 'tokens issued now are honoured')
      if (since > 0) {
        await assert.rejects(
          ledger.spend(newId(), inAMinute(), since - 1),
          isRefusal('token_before_epoch'),
        )
      }
      assert.equal(await ledger.spend(newId(), inAMinute(), Date.now() / 1000), true)
    })

    it('of a hundred concurrent uses of what has seven, exactly seven win', async () => {
      const id = newId()
      const uses = Array.from({ length: 100 }, () => ledger.use(id, 7, newId(), inAMinute()))
      assert.equal(countTrue(await Promise.all(uses)), 7)
      assert.equal(await ledger.use(id, 7, newId(), inAMinute()), false)
    })

    it('more uses than one call can count are counted', async () => {
      const id = newId()
      const uses: boolean[] = []
      for (let n = 0; n < 75; n++) uses.push(await ledger.use(id, 70, newId(), inAMinute()))
      assert.equal(countTrue(uses), 70)
    })

    it('a replayed proof buys nothing and costs no use', async () => {
      const id = newId()
      const proof = newId()
      assert.equal(await ledger.use(id, 2, proof, inAMinute()), true)
      for (let n = 0; n < 5; n++) assert.equal(await ledger.use(id, 2, proof, inAMinute()), false)
      assert.equal(await ledger.use(id, 2, newId(), inAMinute()), true)
      assert.equal(await ledger.use(id, 2, newId(), inAMinute()), false)
    })

    it('a proof spent one way is spent the other way', async () => {
      const proof = newId()
      assert.equal(await ledger.use(newId(), 2, proof, inAMinute()), true)
      assert.equal(await ledger.spend(proof, inAMinute()), false)
    })

    for (const limit of [0, -1, 1.5, 1025, Number.NaN]) {
      it(`${limit} is no number of uses`, async () => {
        await assert.rejects(ledger.use(newId(), limit, newId(), inAMinute()), TypeError)
      })
    }

    it('the first value bound to an id stays, where binding is allowed', async () => {
      const id = newId()
      if (!subject.binds) return assert.rejects(ledger.bind(id, 'v', inAMinute()), TypeError)
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => ledger.bind(id, `v${n}`, inAMinute())),
      )
      assert.equal(new Set(answers).size, 1)
      assert.equal(await ledger.bind(id, 'later', inAMinute()), answers[0])
    })

    it('a store that is gone is a quick refusal, and never a guess', async () => {
      await subject.breakStore()
      const startedMs = performance.now()
      for (let n = 0; n < 3; n++) {
        await assert.rejects(ledger.spend(newId(), inAMinute()), isRefusal('ledger_unavailable'))
      }
      const together = Array.from({ length: 50 }, () => ledger.spend(newId(), inAMinute()))
      for (const { status } of await Promise.allSettled(together)) assert.equal(status, 'rejected')
      assert.ok(performance.now() - startedMs < 10_000, 'none hangs')
    })
  })
}
