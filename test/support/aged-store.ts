/**
 * Stores that have been there for a while. A broker on a new one waits until the proofs of senders
 * whose clocks are ahead of its own are of its time; in most tests nobody's is, and nothing of an
 * earlier time is there to be forgotten.
 */
import { redisLedger } from '../../src/ledger/redis.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'

const AGE_SECONDS = 60

/** Makes the file. */
export async function makeStore(file: string): Promise<void> {
  const clock = () => Date.now() / 1000 - AGE_SECONDS
  const ledger = sqliteLedger({ file, role: 'broker', clock })
  await ledger.open()
  await ledger.close()
}

/** To be called before any broker is; what is forgotten by the server later is found out as ever. */
export async function ageRedis(url: string): Promise<void> {
  // The first epoch of a store begins so much later than it is found.
  const ledger = redisLedger({ url, role: 'broker', clockToleranceSeconds: -AGE_SECONDS })
  await ledger.open()
  await ledger.close()
}
