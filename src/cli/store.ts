import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import type { Logger } from 'pino'
import type { Config, RedisConfig } from '../config/config.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { redisLedger } from '../ledger/redis.ts'
import { sqliteLedger } from '../ledger/sqlite.ts'
import type { BrokerParts } from '../server/parts.ts'
import { PROOF_MAX_AHEAD_SECONDS } from '../token/dpop.ts'
import { spendIdOf } from '../token/spend-id.ts'
import { available } from './settings.ts'
import { readCertificates, readKeyPair } from './tls-files.ts'

/** Longer only if a clock is wrong; then proofs are refused, which says so better than no start. */
const MAX_WAIT_SECONDS = 15

/**
 * The configured store, for a broker; not open yet.
 *
 * @throws {Error} naming the file for TLS that cannot be used
 */
export async function openLedger(config: Config): Promise<Ledger> {
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
    tls: store.tls && (await readTls(store.tls)),
    replicas: store.replicas,
    prefix: store.prefix,
    role: 'broker',
    staleAfterMs: config.revocation.staleAfterMs,
  })
}

async function readTls(tls: NonNullable<RedisConfig['tls']>): Promise<ConnectionOptions> {
  const { caFile, credentials } = tls
  return {
    ...(caFile === undefined ? {} : { ca: await readCertificates(caFile) }),
    ...(credentials === undefined ? {} : await readKeyPair(credentials)),
  }
}

/** In a store that the verifiers share; what is in another one, nobody here can know. */
export function spentIn(ledger: Ledger, issuer: string): NonNullable<BrokerParts['isSpent']> {
  return async ({ aud, jti, iat }) => {
    const resource = String(aud)
    const id = spendIdOf({ issuer, resource, jti: String(jti) })
    // What the store may have forgotten is honoured by no verifier.
    if (!(Number(iat) >= ledger.honoursFrom(id))) return true
    return ledger.isSpent(id, resource)
  }
}

/**
 * A store that has only just begun, or has lost something, refuses every proof that may have been
 * made before: those of the next seconds, as a sender's clock may be ahead. “Ready” means that the
 * proof of an honest agent counts, so a broker waits for that; once in the life of an SQLite file.
 */
export async function proofsCount(ledger: Ledger, log: Logger): Promise<void> {
  const countsFrom =
    (await available(async () => ledger.honoursFrom('p:'))) + PROOF_MAX_AHEAD_SECONDS
  const waitSeconds = countsFrom - Date.now() / 1000
  if (waitSeconds <= 0) return
  log.info(
    `the store is new; ready in ${Math.ceil(waitSeconds)} s, when no earlier proof can count`,
  )
  await sleep(Math.min(waitSeconds, MAX_WAIT_SECONDS) * 1000)
}
