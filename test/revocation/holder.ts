/** A holder of revocations whose feed and clocks a test moves by hand. */
import type { FeedFollower, FeedTransport } from '../../src/revocation/feed.ts'
import { signBeat, signRevocation, signUndo } from '../../src/revocation/feed-text.ts'
import { type HeardEntry, type RefusedText, Revocations } from '../../src/revocation/revocations.ts'
import type { Revocation, Subject, Target, Undo } from '../../src/revocation/target.ts'
import type { KeySource } from '../../src/token/key-set.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'

export const issuer = 'https://broker.example'
export const key = makeSigningKey('k1')
export const keys = keySourceOf(key)
export const agent = 'spiffe://corp.example/agents/report-bot'

export const subject: Subject = {
  jti: 'jti-1',
  session: 'sid-1',
  agents: [agent, 'spiffe://corp.example/agents/planner/7'],
  principal: 'user:5f2c',
  links: ['jti-of-a-delegation', 'sid-before'],
}

let made = 0
export const revocationOf = (target: Target, more: Partial<Revocation> = {}): Revocation => ({
  id: `r${made++}`,
  target,
  at: Date.now() / 1000,
  reason: 'test',
  by: 'admin',
  ...more,
})

export const undoOf = (id: string, more: Partial<Undo> = {}): Undo => ({
  id,
  at: 1_800_000_000,
  until: 1_800_000_100,
  reason: 'test',
  by: 'admin',
  origin: 'o1',
  ...more,
})

export const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))

export function holder(source: KeySource = keys) {
  let follower: FeedFollower | undefined
  const refused: RefusedText[] = []
  const heard: HeardEntry[] = []
  const clock = { now: 1_800_000_000, ms: 5000 }
  let follows = 0
  let closes = 0
  const transport: FeedTransport = {
    append: async () => undefined,
    beat: async () => undefined,
    follow(given) {
      follower = given
      follows++
      return { close: async () => void closes++ }
    },
  }
  const revocations = new Revocations({
    keys: source,
    issuer,
    transport,
    clock: () => clock.now,
    monotonicMs: () => clock.ms,
    onRefused: (text) => refused.push(text),
    onEntry: (entry) => heard.push(entry),
  })
  void revocations.start().catch(() => undefined)
  return {
    revocations,
    refused,
    heard,
    clock,
    follows: () => follows,
    closes: () => closes,
    get feed() {
      return follower as unknown as FeedFollower
    },
    pass(seconds: number) {
      clock.now += seconds
      clock.ms += seconds * 1000
    },
    async beat(at = clock.now, origin = 'o1', signer = key) {
      this.feed.beat(signBeat({ origin, at, epochs: [] }, issuer, signer))
      await settled()
    },
    async entry(target: Target, more: Partial<Revocation> = {}) {
      this.feed.entry(signRevocation(revocationOf(target, more), issuer, key))
      await settled()
    },
    async undo(id: string, more: Partial<Undo> = {}, signer = key) {
      this.feed.entry(signUndo(undoOf(id, more), issuer, signer))
      await settled()
    },
    outcome(of: Subject = subject): string {
      try {
        revocations.check(of, clock.now)
        return 'passes'
      } catch (error) {
        return (error as Error).message
      }
    },
  }
}
