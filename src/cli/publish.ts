import { openAuditLog } from '../audit/file.ts'
import type { Config } from '../config/config.ts'
import { openKeys } from '../mint/keys.ts'
import { RevocationPublisher, type RevocationRequest } from '../revocation/publisher.ts'
import type { Revocation } from '../revocation/target.ts'
import { revocationRecord } from '../server/revocation-record.ts'
import { CliError } from './answer.ts'
import { configured } from './settings.ts'
import { openLedger } from './store.ts'

/**
 * Revokes without a running broker: signs the entries with the broker's key and appends them to the
 * feed in the configured store. An SQLite file that a broker has open is refused by its lock.
 */
export async function publishRevocations(
  config: Config,
  requests: readonly RevocationRequest[],
): Promise<Revocation[]> {
  await using closing = new AsyncDisposableStack()
  const now = () => Date.now() / 1000
  const keys = await configured(() => openKeys(config.keys.directory, { now: now() }))
  closing.defer(() => keys.close())
  const ledger = await configured(() => openLedger(config))
  closing.defer(() => ledger.close())
  try {
    await ledger.open()
  } catch (error) {
    throw new CliError('unavailable', error instanceof Error ? error.message : String(error), {
      hint: 'if a broker runs on this host, run this as the same user, with its configuration',
      cause: error,
    })
  }
  if (ledger.feed === undefined) throw new Error('this store carries no revocations')
  const audit = await openAuditLog({
    directory: config.audit.directory,
    origin: `cli-${new URL(config.issuer).host}`,
  })
  closing.defer(() => audit.close())
  const publisher = new RevocationPublisher({
    issuer: config.issuer,
    key: () => keys.current(now()),
    keys: { find: (kid, algorithm) => keys.verification(now()).find(kid, algorithm) },
    transport: ledger.feed,
  })
  const revocations = await publisher.revokeAll(requests)
  for (const revocation of revocations) await audit.record(revocationRecord(revocation, 'cli'))
  return revocations
}
