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
}

const DPOP = ['auth/dpop', 'auth/dpop-nonce'] as const

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
  { name: 'authorization-server-metadata-endpoint', side: 'authorization', subject: 'broker' },
]

/** The first rule whose pattern fits a scenario's name says why it is not run. */
const NOT_RUN: readonly [side: Scenario['side'], pattern: RegExp, why: string][] = [
  [
    'client',
    /^auth\/(wif|client-credentials|enterprise)/,
    'a grant the SDK brings along; an agent of Writ exchanges its identity instead (RFC 8693)',
  ],
  [
    'client',
    /^auth\//,
    "the SDK's own discovery, registration and sign-in, which the layer leaves as they are",
  ],
  ['client', /./, "the SDK's own protocol code; the agent is a fetch beneath it"],
  [
    'server',
    /./,
    "calls the tools of the suite's reference server without any token, which a gate refuses by design",
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
