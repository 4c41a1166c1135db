import type { Config } from '../config/config.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { redisLedger } from '../ledger/redis.ts'
import { sqliteLedger } from '../ledger/sqlite.ts'

/** The configured store, for a broker; not open yet. */
export function openLedger(config: Config): Ledger {
  const { store } = config
  if (store.kind === 'sqlite') return sqliteLedger({ file: store.file, role: 'broker' })
  const { sentinel } = store
  return redisLedger({
    url: store.url?.reveal(),
    sentinel: sentinel && {
      name: sentinel.name,
      sentinels: sentinel.nodes,
      username: sentinel.username,
      password: sentinel.password?.reveal(),
    },
    cluster: store.cluster && { nodes: store.cluster },
    username: store.username,
    password: store.password?.reveal(),
    tls: store.tls ? {} : undefined,
    replicas: store.replicas,
    prefix: store.prefix,
    role: 'broker',
    staleAfterMs: config.revocation.staleAfterMs,
  })
}
