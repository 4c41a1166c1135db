/** Which scenarios of the MCP conformance suite apply to Writ, and why the others do not. */

export interface Scenario {
  readonly name: string
  /** The suite's subcommand. */
  readonly side: 'client' | 'server' | 'authorization'
  /** What is tested, for the table. */
  readonly subject: string
  /** For clients: which SDK, and the revision of MCP the suite speaks. */
  readonly sdk?: 'v1' | 'v2'
  readonly specVersion?: string
  /** Whether the scenario's authorization server issues Bearer tokens, which the layer must then let pass. */
  readonly bearer?: boolean
  /** The program that is tested; `client.ts` by default. */
  readonly program?: string
}

/** Sign-in without DPoP, where the layer must change nothing: not even a client's own credentials. */
const UNCHANGED = [
  'auth/metadata-default',
  'auth/scope-from-www-authenticate',
  'auth/token-endpoint-auth-basic',
  'auth/token-endpoint-auth-post',
  'auth/token-endpoint-auth-none',
] as const

/** What the suite can ask of any server; it comes in through an agent, because the gate wants tokens. */
const GATED = ['server-initialize', 'ping', 'tools-list', 'http-header-validation'] as const

const DPOP = ['auth/dpop', 'auth/dpop-nonce'] as const

/** The suite's authorization server issues unbound tokens there, which the agent is told to take. */
const WIF = [
  { sdk: 'v1', subject: 'SDK v1 + agent, Bearer' },
  { sdk: 'v2', subject: 'SDK v2 + agent, Bearer' },
  { sdk: 'v2', specVersion: '2026-07-28', subject: 'SDK v2 + agent, Bearer, newer era' },
] as const

export const SCENARIOS: readonly Scenario[] = [
  ...DPOP.flatMap((name): Scenario[] => [
    { name, side: 'client', sdk: 'v1', subject: 'SDK v1 + DPoP layer' },
    { name, side: 'client', sdk: 'v2', subject: 'SDK v2 + DPoP layer' },
    {
      name,
      side: 'client',
      sdk: 'v2',
      specVersion: '2026-07-28',
      subject: 'SDK v2 + DPoP layer, newer era',
    },
  ]),
  ...WIF.map(
    (how): Scenario => ({
      name: 'auth/wif-jwt-bearer',
      side: 'client',
      program: 'wif-client.ts',
      ...how,
    }),
  ),
  ...UNCHANGED.map(
    (name): Scenario => ({
      name,
      side: 'client',
      sdk: 'v2',
      bearer: true,
      subject: 'SDK v2 + DPoP layer, Bearer',
    }),
  ),
  ...GATED.map(
    (name): Scenario => ({ name, side: 'server', subject: 'agent + gate + SDK v2 server' }),
  ),
  { name: 'authorization-server-metadata-endpoint', side: 'authorization', subject: 'broker' },
]

/** The first rule whose pattern fits a scenario's name says why it is not run. */
const NOT_RUN: readonly [side: Scenario['side'], pattern: RegExp, why: string][] = [
  [
    'client',
    /^auth\/(client-credentials|enterprise)/,
    'a grant the SDK brings along; an agent of Writ exchanges its identity instead (RFC 8693)',
  ],
  [
    'client',
    /^auth\//,
    "the SDK's own discovery, registration and sign-in; that the layer leaves them alone is tested above",
  ],
  ['client', /./, "the SDK's own protocol code; the agent is a fetch beneath it"],
  [
    'server',
    /^dns-rebinding-protection$/,
    'for servers without authentication, says the suite; the gate checks Host and Origin before anything else',
  ],
  [
    'server',
    /^server-stateless$/,
    "needs tools of the suite's reference server, and sends methods for which there is no token",
  ],
  [
    'server',
    /./,
    "needs tools, prompts, resources or tasks of the suite's reference server, which the example server does not have",
  ],
  [
    'authorization',
    /^authorization-code-grant$/,
    'needs a person who signs in with a browser; the broker serves workloads',
  ],
]

/** @throws {Error} for a scenario nobody has thought about: the suite has grown */
export function whyNotRun(side: Scenario['side'], name: string): string {
  const rule = NOT_RUN.find(([on, pattern]) => on === side && pattern.test(name))
  if (rule === undefined) throw new Error(`no rule says whether ${name} applies`)
  return rule[2]
}
