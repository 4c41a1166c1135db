import { type ServiceError, status } from '@grpc/grpc-js'
import { quotable, SpiffeError } from './error.ts'

/** How the standard wants an error taken (SPIFFE Workload Endpoint, Appendix A). */
export type Verdict =
  /** Ask again later. */
  | 'retry'
  /** No identity yet, or no longer; ask again later. */
  | 'denied'
  /** We asked wrongly, or the endpoint cannot do this: asking again changes nothing. */
  | 'fatal'

export function verdictOf(error: Pick<ServiceError, 'code'>): Verdict {
  if (error.code === status.PERMISSION_DENIED) return 'denied'
  const fatal = error.code === status.INVALID_ARGUMENT || error.code === status.UNIMPLEMENTED
  return fatal ? 'fatal' : 'retry'
}

/** The error in words, without anything in it that could be a key. */
export function apiError(
  error: Pick<ServiceError, 'code' | 'details'>,
  address: string,
): SpiffeError {
  const name = status[error.code] ?? 'no gRPC answer'
  const said = `${name}${error.details ? `: ${quotable(error.details)}` : ''}`
  switch (verdictOf(error)) {
    case 'denied':
      return new SpiffeError(
        'identity_denied',
        `the Workload API at ${address} has no identity for this process (${said}); check its registration`,
      )
    case 'fatal':
      return new SpiffeError(
        'api_refused',
        `the Workload API at ${address} refused the call (${said})`,
      )
    case 'retry':
      return new SpiffeError('api_unavailable', `the Workload API at ${address} failed (${said})`)
  }
}
