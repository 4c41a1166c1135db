/** Brokers and holders that run on one feed, until the test's file is over. */
import { after } from 'node:test'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import type { Target } from '../../src/revocation/target.ts'
import { issuer, key, keys, subject } from './holder.ts'

export const SESSION: Target = { kind: 'session', value: 'sid-1' }
export const WHY = { reason: 'a mistake', by: 'admin' }

const open: { close(): Promise<void> }[] = []
/** Before the store that they run on goes. */
export async function closeAll(): Promise<void> {
  for (const each of open.splice(0).reverse()) await each.close()
}
after(closeAll)

export async function started(transport: FeedTransport, signWith = () => key, verify = keys) {
  const publisher = new RevocationPublisher({
    issuer,
    key: signWith,
    keys: verify,
    transport,
    beatEveryMs: 10,
  })
  open.push(publisher)
  await publisher.start()
  return publisher
}

export async function listening(transport: FeedTransport, verify = keys) {
  const revocations = new Revocations({ keys: verify, issuer, transport })
  open.push(revocations)
  await revocations.start()
  return revocations
}

/** Throws when the usual subject is stopped. */
export const passes = (revocations: Revocations) => revocations.check(subject, Date.now() / 1000)
