// What the cases of X509-SVIDs are made of: two trust domains, and chains below their authorities.
import { constants, sign } from 'node:crypto'
import type { IdentityCheck } from '../../src/refusal.ts'
import {
  der,
  integer,
  intermediate,
  leaf,
  type Made,
  oid,
  type Plan,
  root,
  rsaKeys,
  sequence,
} from './x509-maker.ts'

export interface ChainCase {
  readonly title: string
  /** The check it has to fail; undefined for a chain that has to be accepted. */
  readonly check?: IdentityCheck
  /** Where OpenSSL accepts what is refused here: the rule that says so. */
  readonly stricter?: string
  readonly chain: readonly Made[]
  /** More authorities of corp.test for this case. */
  readonly authorities?: readonly Made[]
}

/** Authorities of corp.test and other.test. */
export const CORP = root({ subject: 'corp root' })
export const OTHER = root({ subject: 'other root' })

export const RSA_ROOT = root({ subject: 'rsa root', keys: rsaKeys() })

export const via = (plan: Plan = {}, leafPlan: Plan = {}): Made[] => {
  const authority = intermediate(CORP, plan)
  return [leaf(authority, leafPlan), authority]
}

export const only = (plan: Plan): Made[] => [leaf(CORP, plan)]

export const having = (extensions: Plan['extensions']): Made[] =>
  only({ extensions: extensions ?? {} })

export const authorityHaving = (extensions: Plan['extensions']): Made[] =>
  via({ extensions: extensions ?? {} })

export const under = (authority: Made, plan: Plan = {}) => ({
  chain: [leaf(authority, plan)],
  authorities: [authority],
})

export const UNKNOWN = '1.3.6.1.4.1.99999.1'

/** Signed by RSA-PSS with SHA-256 and a salt of so many octets. */
export function pss(issuer: Made, saltLength: number): Plan {
  const sha256 = sequence(oid('2.16.840.1.101.3.4.2.1'), der(5))
  const mask = sequence(oid('1.2.840.113549.1.1.8'), sha256)
  const parameters = sequence(der(0xa0, sha256), der(0xa1, mask), der(0xa2, integer(saltLength)))
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return {
    signer: {
      algorithm: sequence(oid('1.2.840.113549.1.1.10'), parameters),
      sign: (tbs) => sign('sha256', tbs, { key: issuer.keys.privateKey, padding, saltLength }),
    },
  }
}
