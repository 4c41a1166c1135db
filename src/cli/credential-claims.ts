/**
 * What a credential claims, fit for a screen: claims that are known to hold no secret, and of these
 * no more than a line. Everything else about it stays where it is.
 */
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { type Credential, readLeaf } from './credential.ts'
import { instant, withoutCredentials } from './text.ts'

const MAX_CHARACTERS = 200
const MAX_ENTRIES = 16
const MAX_DEPTH = 8

/** Shown as they are, with what they are called. */
const PLAIN = {
  sub: 'subject',
  iss: 'issuer',
  aud: 'audience',
  azp: 'authorized party',
  client_id: 'client',
  jti: 'token id',
  txn: 'task',
  scope: 'scope',
  resource: 'resource',
  htm: 'method',
  htu: 'url',
  repository: 'repository',
  ref: 'ref',
  environment: 'environment',
  event_name: 'event',
  workflow_ref: 'workflow',
  run_id: 'run',
  actor: 'started by',
} as const
const TIMES = { iat: 'issued', nbf: 'counts from', exp: 'ends' } as const
/** Of `kubernetes.io`. */
const CLUSTER = {
  namespace: 'namespace',
  serviceaccount: 'service account',
  pod: 'pod',
  node: 'node',
}

export type Row = readonly [name: string, value: string | undefined]

export function claimsOf(credential: Credential): JsonObject {
  return credential.form === 'token'
    ? tokenClaims(credential.claims)
    : certificateClaims(credential.chain)
}

function tokenClaims(claims: JsonObject): JsonObject {
  const shown: Record<string, Json> = {}
  const put = (name: string, value: Json | undefined) => {
    if (value !== undefined) shown[name] = value
  }
  for (const name of Object.keys(PLAIN)) put(name, plain(claims[name]))
  for (const name of Object.keys(TIMES)) put(name, number(claims[name]))
  put('cnf', members(claims.cnf, ['jkt', 'x5t#S256']))
  put('may_act', members(claims.may_act, ['sub', 'iss']))
  put('act', actor(claims.act, MAX_DEPTH))
  put('kubernetes.io', cluster(claims['kubernetes.io']))
  const details = claims.authorization_details
  if (Array.isArray(details)) {
    const names = ['type', 'locations', 'actions', 'identifier', 'identifiers']
    const list = details.slice(0, MAX_ENTRIES).map((one) => members(one, names))
    put(
      'authorization_details',
      list.filter((one) => one !== undefined),
    )
  }
  return shown
}

function certificateClaims(chain: readonly Uint8Array[]): JsonObject {
  const leaf = readLeaf(chain)
  return {
    uri: leaf.uriSans.slice(0, MAX_ENTRIES).map(cut),
    dns: leaf.dnsSans.slice(0, MAX_ENTRIES).map(cut),
    nbf: leaf.notBefore,
    exp: leaf.notAfter,
    cnf: { 'x5t#S256': leaf.thumbprint },
    ca: leaf.basicConstraints?.ca ?? false,
    certificates: chain.length,
  }
}

/** The claims in lines, for people. */
export function rowsOf(claims: JsonObject, now: number): Row[] {
  const details = Array.isArray(claims.authorization_details) ? claims.authorization_details : []
  const accounts = isJsonObject(claims['kubernetes.io']) ? claims['kubernetes.io'] : {}
  return [
    ['SPIFFE ID', line(claims.uri)],
    ['DNS names', line(claims.dns)],
    ...Object.entries(PLAIN).map(([name, label]): Row => [label, line(claims[name])]),
    ...Object.entries(CLUSTER).map(([name, label]): Row => [label, line(accounts[name])]),
    ['acting', actorsLine(claims.act)],
    ['may act', isJsonObject(claims.may_act) ? line(claims.may_act.sub) : undefined],
    ...details.filter(isJsonObject).map((one): Row => ['good for', detailLine(one)]),
    ['key', keyLine(claims.cnf)],
    ...Object.entries(TIMES).map(([name, label]): Row => {
      const at = claims[name]
      return [label, typeof at === 'number' ? instant(at, now) : undefined]
    }),
    ['certificates', line(claims.certificates)],
    ['authority', claims.ca === true ? 'yes: it signs certificates, it is no workload' : undefined],
  ]
}

/** The key a credential is bound to, in words. */
export function keyLine(cnf: Json | undefined): string | undefined {
  if (!isJsonObject(cnf)) return undefined
  if (typeof cnf.jkt === 'string') return `the DPoP key of thumbprint ${cnf.jkt}`
  const certificate = cnf['x5t#S256']
  return typeof certificate === 'string' ? `the certificate x5t#S256 ${certificate}` : undefined
}

function line(value: Json | undefined): string | undefined {
  if (value === undefined || value === null) return undefined
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.join(', ')
  return String(value)
}

function actorsLine(act: Json | undefined): string | undefined {
  const names: string[] = []
  for (let one = act; isJsonObject(one); one = one.act) names.push(String(one.sub))
  return names.length === 0 ? undefined : names.join(', for ')
}

function detailLine({ actions, identifier, identifiers, locations }: JsonObject): string {
  const names = line(identifiers ?? identifier) ?? 'nothing'
  return `${line(actions) ?? 'nothing'} of ${names} at ${line(locations) ?? 'nowhere'}`
}

function plain(value: Json | undefined): Json | undefined {
  if (typeof value === 'string') return cut(value)
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (!Array.isArray(value)) return undefined
  return value
    .filter((one) => typeof one === 'string')
    .slice(0, MAX_ENTRIES)
    .map(cut)
}

function number(value: Json | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined
}

function members(value: Json | undefined, names: readonly string[]): JsonObject | undefined {
  if (!isJsonObject(value)) return undefined
  const found = names.map((name) => [name, plain(value[name])] as const)
  return Object.fromEntries(found.filter((one): one is [string, Json] => one[1] !== undefined))
}

function actor(value: Json | undefined, left: number): JsonObject | undefined {
  if (!isJsonObject(value) || left === 0) return undefined
  const inner = actor(value.act, left - 1)
  return { ...members(value, ['sub', 'iss']), ...(inner === undefined ? {} : { act: inner }) }
}

function cluster(value: Json | undefined): JsonObject | undefined {
  if (!isJsonObject(value)) return undefined
  const name = (one: Json | undefined) => (isJsonObject(one) ? plain(one.name) : plain(one))
  const found = Object.keys(CLUSTER).map((key) => [key, name(value[key])] as const)
  return Object.fromEntries(found.filter((one): one is [string, Json] => one[1] !== undefined))
}

/** One line's worth; a credential that somebody put into a claim is none of it. */
export function cut(text: string): string {
  const clean = withoutCredentials(text)
  return clean.length > MAX_CHARACTERS ? `${clean.slice(0, MAX_CHARACTERS)}…` : clean
}
