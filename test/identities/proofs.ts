// Random combinations of proofs in one request, and a second opinion about each: who may get a token for
// whom, by the words of `docs/delegation.md` alone.
import fc from 'fast-check'

export const A = 'spiffe://corp.test/agents/bot'
export const B = 'spiffe://corp.test/agents/b'
export type Agent = typeof A | typeof B

/** `dpop` is the key of the proof, `x5t` that of the certificate, `other` nobody's here. */
export type KeyName = 'dpop' | 'x5t' | 'other'

export type Subject =
  | { readonly is: 'none' }
  | { readonly is: 'workload'; readonly id: Agent; readonly forged: boolean }
  | {
      readonly is: 'user'
      readonly mayAct: Agent | undefined
      readonly act: Agent | undefined
      /** Says who may bring it, as an ID-JAG does. */
      readonly client: Agent | undefined
      readonly cnf: KeyName | undefined
      readonly forged: boolean
    }
  | { readonly is: 'delegation'; readonly to: Agent; readonly key: 'dpop' | 'other' }
  | { readonly is: 'access token' }

/** What stands where a proof of who acts should be. */
export type Proof =
  | { readonly is: 'svid'; readonly id: Agent; readonly forged: boolean }
  | { readonly is: 'user' }
  | { readonly is: 'delegation' }

export interface Combination {
  readonly door: 'token-exchange' | 'jwt-bearer' | 'client_credentials'
  readonly subject: Subject
  /** Whether the subject's own type is declared, that of another kind, or just a JWT. */
  readonly declared: 'jwt' | 'right' | 'wrong'
  readonly actor: Proof | undefined
  readonly client: Proof | { readonly is: 'key'; readonly forged: boolean } | undefined
  readonly certificate: { readonly id: Agent; readonly forged: boolean } | undefined
  readonly clientId: Agent | undefined
  readonly dpop: boolean
  readonly asks: 'permitted' | 'forbidden' | 'other tool'
}

const agent = fc.oneof({ weight: 12, arbitrary: fc.constant(A) }, fc.constant(B))
const rarely = fc.oneof({ weight: 20, arbitrary: fc.constant(false) }, fc.constant(true))
const maybe = <T>(arbitrary: fc.Arbitrary<T>, absent = 3): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: absent, arbitrary: fc.constant(undefined) }, arbitrary)
const is = <T extends string>(name: T) => fc.constant(name)

const svid = fc.record({ is: is('svid'), id: agent, forged: rarely })
const proof: fc.Arbitrary<Proof> = fc.oneof(
  { weight: 20, arbitrary: svid },
  fc.record({ is: is('user') }),
  fc.record({ is: is('delegation') }),
)
const subject: fc.Arbitrary<Subject> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ is: is('none') }) },
  { weight: 4, arbitrary: fc.record({ is: is('workload'), id: agent, forged: rarely }) },
  {
    weight: 7,
    arbitrary: fc.record({
      is: is('user'),
      mayAct: maybe(agent),
      act: maybe(agent, 6),
      client: maybe(agent),
      cnf: maybe(fc.constantFrom<KeyName[]>('dpop', 'dpop', 'dpop', 'x5t', 'x5t', 'other')),
      forged: rarely,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      is: is('delegation'),
      to: agent,
      key: fc.constantFrom<('dpop' | 'other')[]>('dpop', 'dpop', 'dpop', 'other'),
    }),
  },
  fc.record({ is: is('access token') }),
)

export const combination: fc.Arbitrary<Combination> = fc.record({
  door: fc.constantFrom<Combination['door'][]>(
    'token-exchange',
    'token-exchange',
    'jwt-bearer',
    'client_credentials',
  ),
  subject,
  declared: fc.constantFrom<Combination['declared'][]>(
    'jwt',
    'jwt',
    'jwt',
    'right',
    'right',
    'right',
    'wrong',
  ),
  actor: maybe(proof, 1),
  client: maybe(
    fc.oneof(proof, fc.record({ is: is('key'), forged: rarely })) as fc.Arbitrary<
      NonNullable<Combination['client']>
    >,
  ),
  certificate: maybe(fc.record({ id: agent, forged: rarely }), 2),
  clientId: maybe(agent),
  dpop: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  asks: fc.oneof(
    { weight: 12, arbitrary: fc.constant<Combination['asks']>('permitted') },
    fc.constantFrom<Combination['asks'][]>('forbidden', 'other tool'),
  ),
})

/** What the token must say. */
export interface Expected {
  readonly principal: 'self' | 'user' | 'delegator'
  readonly workload: Agent
  /** Outermost first. */
  readonly actors: readonly Agent[]
  readonly key: 'dpop' | 'x5t'
}

/** Nothing when the broker has to refuse. */
export function expected(combination: Combination): Expected | undefined {
  const { subject, actor, client, certificate, clientId, dpop } = combination
  if (combination.asks !== 'permitted') return undefined
  if (!fitsDoor(combination)) return undefined

  const keys = [...(dpop ? ['dpop' as const] : []), ...(certificate ? ['x5t' as const] : [])]
  if (keys.length === 0) return undefined

  // Who asks: every proof that came must hold, and all must name one workload.
  const named: Agent[] = []
  for (const one of [actor, client]) {
    if (one === undefined) continue
    if (one.is === 'user' || one.is === 'delegation') return undefined
    if (one.forged) return undefined
    named.push(one.is === 'svid' ? one.id : A)
  }
  if (certificate?.forged) return undefined
  if (certificate !== undefined) named.push(certificate.id)
  if (subject.is === 'workload') {
    if (subject.forged) return undefined
    named.push(subject.id)
  }
  if (!clientIdFits({ client, certificate, clientId })) return undefined
  const [workload] = named
  if (workload === undefined || named.some((one) => one !== workload)) return undefined

  switch (subject.is) {
    case 'none':
    case 'workload':
      return { principal: 'self', workload, actors: [], key: keys[0]! }
    case 'access token':
      return undefined
    case 'user': {
      const { mayAct, act, client: bearer, cnf } = subject
      if (subject.forged) return undefined
      if (bearer !== undefined && bearer !== workload) return undefined
      if (mayAct !== undefined && mayAct !== workload) return undefined
      if (act !== undefined && mayAct === undefined && act !== workload) return undefined
      const key = cnf === undefined ? keys[0]! : keys.find((one) => one === cnf)
      if (key === undefined) return undefined
      const before = act !== undefined && mayAct !== undefined ? [act] : []
      return { principal: 'user', workload, actors: [workload, ...before], key }
    }
    case 'delegation':
      if (subject.to !== workload || subject.key !== 'dpop' || !dpop) return undefined
      return { principal: 'delegator', workload, actors: [workload, A], key: 'dpop' }
  }
}

/** Which parameters each door takes, and which types of tokens. */
function fitsDoor({ door, subject, actor, declared }: Combination): boolean {
  if (door === 'client_credentials') return subject.is === 'none' && actor === undefined
  if (subject.is === 'none') return false
  if (door === 'jwt-bearer') return actor === undefined
  return declared !== 'wrong'
}

/** A client id says the same as what authenticates the client; with nothing that does, it means nothing. */
function clientIdFits({
  client,
  certificate,
  clientId,
}: Pick<Combination, 'client' | 'certificate' | 'clientId'>): boolean {
  if (clientId === undefined) return true
  // That of a registered client is another one.
  if (client !== undefined) return client.is === 'svid' && client.id === clientId
  return certificate === undefined || certificate.id === clientId
}
