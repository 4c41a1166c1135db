import type { BundleStream } from '../identity/bundles/bundle-source.ts'
import type { WorkloadApi } from './workload-api.ts'

/**
 * The bundle of one trust domain, our own or a federated one, as the Workload API keeps telling it.
 * A domain that a message does not name any more is taken back (Workload API §4.4).
 *
 * @param trustDomain the domain's name, as in `corp.example`
 */
export function bundleStream(
  api: Pick<WorkloadApi, 'onX509Bundles' | 'onJwtBundles'>,
  trustDomain: string,
): BundleStream {
  return {
    start(onBundle, onProblem) {
      const stopX509 = api.onX509Bundles(
        (bundles) => onBundle({ x509: bundles.get(trustDomain) ?? null }),
        (error) => onProblem(error.message, 'x509'),
      )
      const stopJwt = api.onJwtBundles(
        (bundles) => onBundle({ jwt: bundles.get(trustDomain) ?? null }),
        (error) => onProblem(error.message, 'jwt'),
      )
      return {
        close() {
          stopX509()
          stopJwt()
        },
      }
    },
  }
}
