import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { orderOf, sortKey } from '../../src/ledger/redis-documents.ts'
import type { SessionUpdate } from '../../src/ledger/session-book.ts'
import { type KeptSession, merged } from '../../src/ledger/session-merge.ts'
import { parseAction, parseSession, sessionText } from '../../src/ledger/session-text.ts'
import { isRefusal } from './contract.ts'
import { actionOf, updateOf } from './session-updates.ts'

const HOUR = 3600
const time = fc.integer({ min: 1, max: 1000 })
const update: fc.Arbitrary<SessionUpdate> = fc
  .record({
    from: time,
    length: fc.nat(50),
    counts: fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)),
    tokensUntil: fc.nat(2000),
    actions: fc.array(
      fc
        .record({
          at: time,
          address: fc.option(fc.ipV4()),
          task: fc.option(fc.constantFrom('a', 'b', 'c')),
          server: fc.option(fc.constantFrom('https://a', 'https://b', 'https://c')),
        })
        .map(({ at, ...rest }) => {
          const given = Object.entries(rest).filter(([, value]) => value !== null)
          return actionOf(at, Object.fromEntries(given))
        }),
      { maxLength: 5 },
    ),
  })
  .map(({ from, length, counts: [issued, spent, refused], tokensUntil, actions }) =>
    updateOf('s', {
      firstAt: from,
      lastAt: from + length,
      issued,
      spent,
      refused,
      tokensUntil,
      actions,
    }),
  )

function mergedAll(updates: readonly (readonly [string, SessionUpdate])[]): KeptSession {
  let kept: KeptSession | undefined
  for (const [source, one] of updates) kept = merged(kept, one, source, 1, 5000) ?? kept
  return kept ?? assert.fail()
}

describe('what updates make of a session', () => {
  it('has no server that was only asked for, however many these are', () => {
    const was = actionOf(1, { server: 'https://real' })
    const asked = Array.from({ length: 10 }, (_, n) =>
      actionOf(2 + n, { server: `https://made-up-${n}`, outcome: 'refused', by: 'broker' }),
    )
    const refusedThere = actionOf(20, { server: 'https://there', outcome: 'refused', by: 'v/1' })
    const actions = [refusedThere, ...asked.reverse(), was]
    const { session } = mergedAll([['broker:a', updateOf('s', { lastAt: 20, actions })]])
    assert.deepEqual(session.servers, ['https://there', 'https://real'])
  })

  it('does not depend on the order in which sources are heard', () => {
    const several = fc.array(update, { minLength: 1, maxLength: 8 }).chain((updates) => {
      const named = updates.map((one, n) => [`source-${n}`, one] as const)
      return fc.tuple(fc.constant(named), fc.shuffledSubarray(named, { minLength: named.length }))
    })
    fc.assert(
      fc.property(several, ([inOrder, shuffled]) => {
        const { session } = mergedAll(inOrder)
        const other = mergedAll(shuffled).session
        for (const name of ['issued', 'spent', 'refused', 'firstSeen', 'lastSeen', 'tokensUntil']) {
          assert.equal(other[name as 'issued'], session[name as 'issued'], name)
        }
        assert.equal(other.lastAction?.at, session.lastAction?.at)
        assert.deepEqual([...other.servers].sort(), [...session.servers].sort())
      }),
    )
  })

  it('is read back as it was written', () => {
    fc.assert(
      fc.property(fc.array(update, { minLength: 1, maxLength: 4 }), (updates) => {
        const kept = mergedAll(updates.map((one, n) => [`source-${n}`, one]))
        assert.deepEqual(parseSession('s', sessionText(kept)), kept)
      }),
    )
  })

  it('of any other text, nothing is read', () => {
    const refused = isRefusal('ledger_unavailable')
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        assert.throws(() => parseSession('s', text), refused)
        assert.throws(() => parseAction(text), refused)
      }),
    )
    const action = actionOf(7, { address: '10.0.0.1', task: 't', server: 'https://a' })
    const identity = { kind: 'spiffe', issuer: 'corp.example', attributes: {}, endsAt: 9 }
    const update = updateOf('s', { lastAt: 8, actions: [action], identity })
    const whole = JSON.parse(sessionText(mergedAll([['a', update]])))
    parseSession('s', JSON.stringify(whole))
    for (const part of ['session', 'times', 'sources']) {
      for (const wrong of [
        undefined,
        null,
        1,
        'a',
        [],
        [1],
        {},
        [['a', 1]],
        [['a', -1, 1]],
        [['a', 1, 1, 1]],
      ]) {
        if (part === 'sources' && Array.isArray(wrong) && wrong.length === 0) continue
        const text = JSON.stringify({ ...whole, [part]: wrong })
        assert.throws(() => parseSession('s', text), refused, text)
      }
    }
    for (const part of ['session', 'times']) {
      for (const member of Object.keys(whole[part])) {
        for (const wrong of [-1, [-1], null]) {
          const text = JSON.stringify({ ...whole, [part]: { ...whole[part], [member]: wrong } })
          assert.throws(() => parseSession('s', text), refused, text)
        }
      }
    }
  })

  it('sixteen sources are remembered always, more while they are heard', () => {
    let kept: KeptSession | undefined
    let now = 10_000
    for (let n = 0; n < 40; n++) kept = merged(kept, updateOf('s', { spent: 1 }), `s${n}`, 5, now)
    assert.equal(kept?.sources.length, 40)
    assert.equal(merged(kept, updateOf('s'), 's0', 5, now + HOUR - 1), undefined)
    now += HOUR + 1
    kept = merged(kept, updateOf('s', { spent: 1 }), 's39', 6, now)
    assert.equal(kept?.sources.length, 16)
    assert.equal(merged(kept, updateOf('s'), 's38', 5, now), undefined, 'heard an hour ago')
    for (let n = 0; n < 300; n++) kept = merged(kept, updateOf('s'), `t${n}`, 1, now)
    assert.equal(kept?.sources.length, 256)
    assert.ok(sessionText(kept).length < 20_000)
  })
})

describe('the place of a document in Redis', () => {
  it('sorts as numbers do, and is the number again', () => {
    const double = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0)
    fc.assert(
      fc.property(double, double, (a, b) => {
        assert.equal(sortKey(a) < sortKey(b), a < b)
        assert.equal(orderOf(sortKey(a)), a)
        assert.match(sortKey(a), /^[0-9a-f]{16}$/)
      }),
    )
  })
})
