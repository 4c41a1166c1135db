/** Pods of a Kubernetes cluster, by their projected service account tokens. */
import { isJsonObject, type Json } from '../../lib/json.ts'
import type { Algorithm } from '../../token/algorithm.ts'
import { refuseToken, type VerifiedToken } from './issued-token.ts'
import { openWorkloadIssuer, type WorkloadIssuerOptions } from './oidc.ts'
import type { TokenIssuer } from './token-issuer.ts'
import { createTokenReview, type TokenReviewOptions } from './token-review.ts'

export interface KubernetesIssuerOptions extends WorkloadIssuerOptions {
  /**
   * Asks the cluster whether the token still counts. Without it, the token of a deleted pod is good
   * until it expires: no signature says that a pod is gone.
   */
  readonly tokenReview?: Omit<
    TokenReviewOptions,
    'alias' | 'audience' | 'allowAddresses' | 'lookup'
  >
}

const ALGORITHMS: readonly Algorithm[] = ['RS256']

/** `system:serviceaccount:<namespace>:<name>`; an RFC 1123 label and an RFC 1123 subdomain. */
const SUBJECT =
  /^system:serviceaccount:([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?):([a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?)$/

const ATTRIBUTES = {
  namespace: '/kubernetes.io/namespace',
  service_account: '/kubernetes.io/serviceaccount/name',
  service_account_uid: '/kubernetes.io/serviceaccount/uid',
  pod_name: '/kubernetes.io/pod/name',
  pod_uid: '/kubernetes.io/pod/uid',
  node_name: '/kubernetes.io/node/name',
}

/**
 * Its tokens prove `oidc:<alias>:system:serviceaccount:<namespace>:<name>`.
 *
 * @throws {TypeError} for bad options; {Error} naming a key file that cannot be read
 */
export async function openKubernetesIssuer(options: KubernetesIssuerOptions): Promise<TokenIssuer> {
  const { tokenReview } = options
  const { alias, audience, allowAddresses = [] } = options
  const review =
    tokenReview && createTokenReview({ ...tokenReview, alias, audience, allowAddresses })
  return await openWorkloadIssuer(
    {
      ...options,
      algorithms: options.algorithms ?? ALGORITHMS,
      attributes: { ...ATTRIBUTES, ...options.attributes },
    },
    {
      check: checkServiceAccount,
      ...(review === undefined
        ? {}
        : {
            confirm: (text: string, { subject, credential }: VerifiedToken) =>
              review.confirm({ text, username: subject, credential }),
            close: () => review.close(),
          }),
    },
  )
}

/** The subject and the private claim say the same twice; a token where they differ is not Kubernetes'. */
function checkServiceAccount({ subject, claims }: VerifiedToken): void {
  const [, namespace, name] = SUBJECT.exec(subject) ?? refuseToken('subject')
  const claim = claims['kubernetes.io']
  const account = isJsonObject(claim) ? claim.serviceaccount : undefined
  if (!isJsonObject(claim) || !isReference(account)) refuseToken('claims')
  if (claim.namespace !== namespace || account.name !== name) refuseToken('subject')
  if (claim.pod !== undefined && !isReference(claim.pod)) refuseToken('claims')
}

function isReference(value: Json | undefined): value is { name: string; uid: string } {
  return isJsonObject(value) && typeof value.name === 'string' && typeof value.uid === 'string'
}
