// A verifier's whole check with its spend, against two raw signature checks; no HTTP on either side.
import { fork } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { hashArguments } from '../src/action/hash.ts'
import { MCP_ACTION_TYPE } from '../src/action/mcp-action.ts'
import { memoryLedger } from '../src/ledger/memory.ts'
import { redisLedger } from '../src/ledger/redis.ts'
import type { JsonObject } from '../src/lib/json.ts'
import { mintToken, newJti } from '../src/mint/mint.ts'
import { memoryFeed } from '../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../src/revocation/publisher.ts'
import { schemeOf } from '../src/token/algorithm.ts'
import { derFromJws } from '../src/token/ecdsa.ts'
import type { SigningKey } from '../src/token/jws.ts'
import { localKeySet } from '../src/token/key-set.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../src/token/proof.ts'
import { createVerifier, type GateRequest, type Verifier } from '../src/verifier/index.ts'
import { ARGUMENTS, Busy, IN_FLIGHT, KEYS, RESOURCE, TOOL } from './load.ts'
import { median, percentile, round } from './statistics.ts'

const VERIFY_CHILD = 'verify-child'
const ISSUER = 'http://127.0.0.1:4470'
const ROUNDS = 15
const CHECKS_A_ROUND = 2000
/** Floor and subject take turns after so many. */
const CHECKS_A_TURN = 250
const WARM_UP_ROUNDS = 6
/** On a machine so busy that the rounds do not fit, fewer are measured. */
const MEASURE_AT_MOST_MS = 25_000
const LEAST_ROUNDS = 5
/** A store that is late is a refusal; its round is thrown away and made again. */
const BUSY_ROUNDS = 10

export interface VerifyFigures {
  readonly cpuUs: number
  readonly floorUs: number
  /** The median of each round's ratio. */
  readonly cpuVsFloor: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly rounds: number
}

const body = Buffer.from(
  JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: TOOL, arguments: ARGUMENTS },
  }),
)

/** @param redisUrl without it the spend is in memory, which is what a single process uses */
export async function measureVerify(redisUrl: string | undefined): Promise<VerifyFigures> {
  const signingKey = makeSigningKey()
  const { verifier, close } = await openVerifier(signingKey, redisUrl)
  const senders = Array.from({ length: KEYS }, () => generateSenderKey('ES256'))
  const ours: number[] = []
  const floors: number[] = []
  const times: number[] = []
  let until = Number.POSITIVE_INFINITY
  let busy = 0
  for (let index = 0; index < WARM_UP_ROUNDS + ROUNDS; index += 1) {
    if (index === WARM_UP_ROUNDS) until = performance.now() + MEASURE_AT_MOST_MS
    if (index >= WARM_UP_ROUNDS + LEAST_ROUNDS && performance.now() > until) break
    const requests = makeRequests(signingKey, senders)
    const raw = requests.map((request) => rawChecks(request, signingKey, senders))
    // What making them left behind is cleared away now, on nobody's account.
    globalThis.gc?.()
    await breathe()
    try {
      const { floorUs, oursUs, took } = await measureRound(verifier, requests, raw)
      if (index < WARM_UP_ROUNDS) continue
      floors.push(floorUs / CHECKS_A_ROUND)
      ours.push(oursUs / CHECKS_A_ROUND)
      times.push(...took)
    } catch (error) {
      if (!(error instanceof Busy) || ++busy > BUSY_ROUNDS) throw error
      index -= 1
    }
  }
  await close()
  const ratios = ours.map((value, index) => value / floors[index]!)
  return {
    cpuUs: round(median(ours), 1),
    floorUs: round(median(floors), 1),
    cpuVsFloor: round(median(ratios)),
    p50Ms: round(percentile(times, 0.5)),
    p99Ms: round(percentile(times, 0.99)),
    rounds: ours.length,
  }
}

/** Floor and subject in short turns on the same requests, so that both meet the same machine. */
async function measureRound(
  verifier: Verifier,
  requests: readonly Prepared[],
  raw: readonly (readonly (() => void)[])[],
) {
  let floorUs = 0
  let oursUs = 0
  const took: number[] = []
  for (let from = 0; from < requests.length; from += CHECKS_A_TURN) {
    const floorTurn = raw.slice(from, from + CHECKS_A_TURN)
    const ourTurn = requests.slice(from, from + CHECKS_A_TURN)
    const before = process.cpuUsage()
    for (const [token, proof] of floorTurn) {
      token!()
      proof!()
    }
    floorUs += cpuSince(before)
    const between = process.cpuUsage()
    const times = await checkAll(verifier, ourTurn)
    oursUs += cpuSince(between)
    took.push(...times)
  }
  return { floorUs, oursUs, took }
}

function cpuSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return user + system
}

/** Lets timers and sockets have their turn: the floor keeps the process from hearing the feed. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 30))
}

async function openVerifier(signingKey: SigningKey, redisUrl: string | undefined) {
  const keys = localKeySet({ keys: [signingKey.publicJwk] }, ['ES256'])
  // The broker's end of the store carries the feed; the verifier has rights of its own.
  const store = redisUrl === undefined ? undefined : redisLedger({ url: redisUrl, role: 'broker' })
  const feed = store?.feed ?? memoryFeed()
  const publisher = new RevocationPublisher({
    issuer: ISSUER,
    key: () => signingKey,
    keys,
    transport: feed,
  })
  const ledger =
    redisUrl === undefined
      ? memoryLedger()
      : redisLedger({ url: redisUrl, role: 'verifier', resource: RESOURCE })
  const verifier = createVerifier({
    issuer: ISSUER,
    resource: RESOURCE,
    ledger,
    definitions: 'unchecked',
    audit: () => {},
    // Requests are made in this process too, which keeps it from hearing the feed meanwhile.
    staleAfterMs: 60_000,
    keys,
    feed: ledger.feed ?? feed,
  })
  // The timers of the feed do not keep a process alive by themselves.
  const alive = setInterval(() => {}, 1000)
  await store?.open()
  await publisher.start()
  await verifier.ready()
  // A store that has just opened honours what is issued from now on.
  await new Promise((resolve) => setTimeout(resolve, 2100))
  const close = async () => {
    await verifier.close()
    await publisher.close()
    await ledger.close()
    await store?.close()
    clearInterval(alive)
  }
  return { verifier, close }
}

interface Prepared extends GateRequest {
  readonly token: string
  readonly proof: string
  readonly sender: number
}

function makeRequests(signingKey: SigningKey, senders: readonly SenderKey[]): Prepared[] {
  const now = Date.now() / 1000
  const iat = Math.floor(now)
  return Array.from({ length: CHECKS_A_ROUND }, (_, index) => {
    const sender = index % KEYS
    const key = senders[sender]!
    const token = mintToken(
      {
        iss: ISSUER,
        aud: RESOURCE,
        sub: 'spiffe://bench.test/agents/a',
        client_id: 'spiffe://bench.test/agents/a',
        jti: newJti(),
        iat,
        exp: iat + 60,
        sid: createHash('sha256').update(String(sender)).digest('base64url'),
        scope: 'mcp:action',
        authorization_details: [
          {
            type: MCP_ACTION_TYPE,
            locations: [RESOURCE],
            actions: ['tools/call'],
            identifier: TOOL,
            arguments_hash: hashArguments(ARGUMENTS),
            hash_alg: 'sha-256',
            max_uses: 1,
          },
        ],
        cnf: { jkt: key.jkt },
      },
      signingKey,
    )
    const proof = makeProof(key, { method: 'POST', url: RESOURCE, now, accessToken: token })
    const headers: Record<string, readonly string[]> = {
      authorization: [`DPoP ${token}`],
      dpop: [proof],
      host: ['127.0.0.1:4474'],
      'content-type': ['application/json'],
      accept: ['application/json, text/event-stream'],
    }
    return {
      method: 'POST',
      path: '/mcp',
      headers: (name: string) => headers[name] ?? [],
      body,
      token,
      proof,
      sender,
    }
  })
}

/** The two signature checks as they would be with nothing around them: DER and key objects at hand. */
function rawChecks(
  request: Prepared,
  signingKey: SigningKey,
  senders: readonly SenderKey[],
): (() => void)[] {
  const scheme = schemeOf('ES256')
  if (scheme.kind !== 'ecdsa') throw new Error('ES256 is ECDSA')
  const raw = (text: string, key: import('node:crypto').KeyObject): (() => void) => {
    const end = text.lastIndexOf('.')
    const input = Buffer.from(text.slice(0, end))
    const der = derFromJws(Buffer.from(text.slice(end + 1), 'base64url'), scheme.curve)!
    return () => {
      if (!verify('sha256', input, key, der)) throw new Error('bench: a good signature was refused')
    }
  }
  return [
    raw(request.token, publicKeyOf(signingKey.publicJwk)),
    raw(request.proof, publicKeyOf(senders[request.sender]!.publicJwk)),
  ]
}

const publicKeys = new Map<JsonObject, import('node:crypto').KeyObject>()
function publicKeyOf(jwk: JsonObject): import('node:crypto').KeyObject {
  let key = publicKeys.get(jwk)
  if (key === undefined) {
    key = localKeySet({ keys: [{ ...jwk, kid: 'raw' }] }, ['ES256']).find('raw', 'ES256')!.key
    publicKeys.set(jwk, key)
  }
  return key
}

async function checkAll(verifier: Verifier, requests: readonly Prepared[]): Promise<number[]> {
  const times: number[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < requests.length) {
      const index = next++
      const start = performance.now()
      const outcome = await verifier.check(requests[index]!)
      times.push(performance.now() - start)
      if (outcome.allowed) continue
      const what = `bench: refused: ${JSON.stringify(outcome.body)}`
      throw outcome.status === 503 ? new Busy(what) : new Error(what)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
  return times
}

function makeSigningKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const kid = randomBytes(8).toString('base64url')
  const publicJwk = {
    ...(publicKey.export({ format: 'jwk' }) as JsonObject),
    kid,
    alg: 'ES256',
    use: 'sig',
  }
  return { kid, algorithm: 'ES256', key: privateKey, publicJwk }
}

/** In a process of its own, which nothing else has warmed up or filled. */
export async function measureVerifyInChild(redisUrl: string | undefined): Promise<VerifyFigures> {
  const child = fork(fileURLToPath(import.meta.url), [VERIFY_CHILD, redisUrl ?? ''], {
    stdio: ['ignore', 2, 2, 'ipc'],
    execArgv: ['--expose-gc'],
  })
  return new Promise((resolve, reject) => {
    child.once('message', (figures) => resolve(figures as VerifyFigures))
    child.once('exit', (code) => reject(new Error(`bench: the verifier exited with ${code}`)))
  })
}

if (process.argv[2] === VERIFY_CHILD) {
  const redisUrl = process.argv[3] === '' ? undefined : process.argv[3]
  process.send?.(await measureVerify(redisUrl), () => process.exit(0))
}
