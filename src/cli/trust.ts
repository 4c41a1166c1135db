/** Opens everything that identities are proved with: bundles, issuers, users. */
import type { Logger } from 'pino'
import type { Config, IssuerConfig, KeysConfig, UsersConfig } from '../config/config.ts'
import { type BundleSource, type Bundles, openBundles } from '../identity/bundles/bundles.ts'
import { openGithubIssuer } from '../identity/issuers/github.ts'
import type { IssuerKeysFrom } from '../identity/issuers/issuer-keys.ts'
import { openKubernetesIssuer } from '../identity/issuers/kubernetes.ts'
import { openOidcIssuer } from '../identity/issuers/oidc.ts'
import type { TokenIssuer } from '../identity/issuers/token-issuer.ts'
import { openUserIssuer } from '../identity/issuers/user-token.ts'
import { createJwtSvidProver } from '../identity/jwt-svid.ts'
import type { Prover } from '../identity/presented.ts'
import { createProver } from '../identity/prover.ts'
import { createX509SvidProver } from '../identity/x509/x509-svid.ts'
import { bundleStream } from '../spiffe/bundle-stream.ts'
import type { Algorithm } from '../token/algorithm.ts'
import { configured } from './settings.ts'
import type { WorkloadApis } from './workload-apis.ts'

export interface Trust {
  readonly bundles: Bundles
  readonly prover: Prover
  /** The URL of each issuer of workload tokens, by its alias. */
  readonly issuerUrls: ReadonlyMap<string, string>
}

/** @throws {CliError} configuration, naming the file or setting that cannot be used */
export async function openTrust(
  config: Config,
  apis: WorkloadApis,
  { log, stack }: { readonly log: Logger; readonly stack: AsyncDisposableStack },
): Promise<Trust> {
  const { issuer, trust, clients } = config
  const bundles = await configured(async () =>
    openBundles(await Promise.all(trust.bundles.map((bundle) => sourceOf(bundle, apis))), {
      onProblem: ({ trustDomain, detail }) => log.warn(`trust domain ${trustDomain}: ${detail}`),
    }),
  )
  stack.defer(() => bundles.close())

  const onProblem = (problem: { readonly issuer: string; readonly detail: string }) =>
    log.warn(`issuer ${problem.issuer}: ${problem.detail}`)
  const opened = async (open: () => Promise<TokenIssuer>) => {
    const one = await configured(open)
    stack.defer(() => one.close())
    return one
  }
  const issuers: TokenIssuer[] = []
  for (const one of trust.issuers) issuers.push(await opened(() => openIssuer(one, onProblem)))
  const users: TokenIssuer[] = []
  for (const one of trust.users) users.push(await opened(() => openUsers(one, issuer, onProblem)))

  const prover = await configured(async () =>
    createProver({
      issuer,
      jwtSvid: createJwtSvidProver({ bundles, audience: issuer }),
      x509Svid: createX509SvidProver({ bundles }),
      issuers,
      users,
      clients: clients.flatMap(({ clientId, jwks, workload }) =>
        workload === undefined ? [] : [{ clientId, jwks, workload }],
      ),
    }),
  )
  return {
    bundles,
    prover,
    issuerUrls: new Map(trust.issuers.map((one) => [one.alias, one.issuer])),
  }
}

async function sourceOf(
  bundle: Config['trust']['bundles'][number],
  apis: WorkloadApis,
): Promise<BundleSource> {
  const { trustDomain } = bundle
  if (bundle.kind === 'file') return { trustDomain, file: bundle.file }
  const { maxAgeSeconds } = bundle
  if (bundle.kind === 'workload_api') {
    const stream = bundleStream(await apis.open(bundle.socket), trustDomain)
    return { trustDomain, stream, maxAgeSeconds }
  }
  const { url, spiffe, allowAddresses, caFile } = bundle
  return {
    trustDomain,
    endpoint:
      spiffe === undefined
        ? { url, profile: 'https_web' }
        : {
            url,
            profile: 'https_spiffe',
            spiffeId: spiffe.id,
            bootstrapFile: spiffe.bootstrapFile,
          },
    maxAgeSeconds,
    allowAddresses,
    caFile,
  }
}

type OnProblem = (problem: { readonly issuer: string; readonly detail: string }) => void

function openIssuer(config: IssuerConfig, onProblem: OnProblem): Promise<TokenIssuer> {
  const options = { ...sharedOptions(config, onProblem), audience: config.audience }
  if (config.kind === 'github') return openGithubIssuer(options)
  if (config.kind === 'oidc') return openOidcIssuer(options)
  const { tokenReview } = config
  if (tokenReview === undefined) return openKubernetesIssuer(options)
  const { caFile, ...review } = tokenReview
  return openKubernetesIssuer({
    ...options,
    tokenReview: caFile === undefined ? review : { ...review, caFile },
  })
}

function openUsers(config: UsersConfig, broker: string, onProblem: OnProblem) {
  const { audiences, tokenTypes } = config
  return openUserIssuer({ ...sharedOptions(config, onProblem), broker, audiences, tokenTypes })
}

function sharedOptions(config: IssuerConfig | UsersConfig, onProblem: OnProblem) {
  const { alias, issuer, maxAgeSeconds, allowAddresses, attributes, caFile } = config
  return {
    alias,
    issuer,
    keys: keysFrom(config.keys),
    algorithms: config.algorithms as readonly Algorithm[],
    maxAgeSeconds,
    allowAddresses,
    onProblem,
    ...(attributes === undefined ? {} : { attributes }),
    ...(caFile === undefined ? {} : { caFile }),
  }
}

function keysFrom(keys: KeysConfig): IssuerKeysFrom {
  if (keys.kind === 'file') return { jwksFile: keys.file }
  return keys.kind === 'url' ? { jwksUrl: keys.url } : { discovery: true }
}
