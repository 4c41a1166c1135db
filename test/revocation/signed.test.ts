/** Only what the broker signed counts. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { signBeat, signRevocation } from '../../src/revocation/feed-text.ts'
import type { Target } from '../../src/revocation/target.ts'
import { signJws } from '../../src/token/jws.ts'
import { makeSigningKey } from '../support/feed-keys.ts'
import { holder, issuer, key, revocationOf, settled } from './holder.ts'

const now = (): number => Date.now() / 1000

describe('only what the broker signed counts', () => {
  const stranger = makeSigningKey('k1')
  const target: Target = { kind: 'jti', value: 'jti-1' }
  const good = (): string => signRevocation(revocationOf(target), issuer, key)
  const forged: readonly [what: string, text: () => string][] = [
    [
      'signed by another key of the same id',
      () => signRevocation(revocationOf(target), issuer, stranger),
    ],
    ['of another issuer', () => signRevocation(revocationOf(target), 'https://other.example', key)],
    [
      'of another type',
      () =>
        signJws(
          { typ: 'at+jwt' },
          {
            iss: issuer,
            kind: 'revoke',
            id: 'x',
            at: 0,
            reason: '',
            by: '',
            target: { ...target },
          },
          key,
        ),
    ],
    ['unsigned', () => `${good().split('.').slice(0, 2).join('.')}.`],
    ['with a changed payload', () => good().replace(/\.(.)/, '.e30')],
    ['that is no JWS', () => 'hello'],
    ['that is a heartbeat', () => signBeat({ origin: 'o', at: now(), epochs: [] }, issuer, key)],
    ['that is too long', () => 'a'.repeat(20_000)],
  ]
  for (const [what, text] of forged) {
    it(`an entry ${what} is refused and reported`, async () => {
      const h = holder()
      h.feed.entry(text())
      await h.beat()
      assert.equal(h.outcome(), 'passes')
      assert.deepEqual(
        h.refused.map(({ kind }) => kind),
        ['entry'],
      )
    })
  }

  const beats: readonly [what: string, beat: (h: ReturnType<typeof holder>) => Promise<void>][] = [
    ['played again', (h) => h.beat(h.clock.now - 0.9)],
    ['of a time long gone', (h) => h.beat(h.clock.now - 3, 'o2')],
    ['of a time to come', (h) => h.beat(h.clock.now + 3, 'o2')],
    ['signed by another key', (h) => h.beat(h.clock.now, 'o1', stranger)],
    ['that is an entry', async (h) => h.feed.beat(good())],
  ]
  for (const [what, beat] of beats) {
    it(`a heartbeat ${what} is refused and reported`, async () => {
      const h = holder()
      await h.beat()
      h.pass(0.9)
      await beat(h)
      await settled()
      h.pass(0.2)
      assert.equal(h.outcome(), 'revocations_stale')
      assert.deepEqual(
        h.refused.map(({ kind }) => kind),
        ['beat'],
      )
    })
  }
})
