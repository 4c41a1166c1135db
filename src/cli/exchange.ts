/** The exchange as the parts of this process make it: what decides, by what, and what it writes down. */
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { Config } from '../config/config.ts'
import type { Broker } from '../exchange/broker.ts'
import { createSenderKeys } from '../identity/sender-keys.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Revocations } from '../revocation/revocations.ts'
import type { Parts } from './broker-parts.ts'

/**
 * @param live what the exchange decides by from one request to the next
 * @param onStep told of each step, for measuring
 */
export function brokerOf(
  config: Config,
  parts: Parts,
  live: {
    ledger: Ledger
    revocations: Revocations
    audit: Broker['audit']
    current: { catalogue: Catalogue }
    sessions: NonNullable<Broker['sessions']>
  },
  onStep: Broker['onStep'],
): Broker {
  return {
    issuer: config.issuer,
    tokenEndpoint: `${config.issuer}/token`,
    nonces: parts.nonces,
    prover: parts.trust.prover,
    senderKeys: createSenderKeys({
      ledger: live.ledger,
      onSecondKey: config.identity.onSecondKey,
    }),
    ledger: live.ledger,
    revocations: live.revocations,
    get catalogue() {
      return live.current.catalogue
    },
    policies: parts.policies,
    audit: live.audit,
    signingKey: (at) => parts.keys.current(at),
    lifetimes: {
      actionSeconds: config.tokens.lifetimeSeconds,
      sessionSeconds: config.tokens.sessionLifetimeSeconds,
    },
    delegation: { ...config.delegation, keys: (at) => parts.keys.verification(at) },
    issuerUrls: parts.trust.issuerUrls,
    recordArguments: config.audit.arguments,
    sessions: live.sessions,
    ...(onStep === undefined ? {} : { onStep }),
  }
}
