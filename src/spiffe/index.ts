/** `mcp-writ/spiffe`: who this process is, and connections that prove who is at their other end. */
export { bundleStream } from './bundle-stream.ts'
export type { Fetch, Peer } from './connections.ts'
export { SpiffeError, type SpiffeErrorCode } from './error.ts'
export {
  createSpiffeFetch,
  type PinnedFetch,
  type SpiffeFetch,
  type SpiffeFetchOptions,
} from './fetch.ts'
export type { JwtSvid } from './jwt-svids.ts'
export { pemOf, type X509Source } from './source.ts'
export {
  createSpiffe,
  type Spiffe,
  type SpiffeConnect,
  type SpiffeConnections,
  type SpiffeOptions,
} from './spiffe.ts'
export { openSvidFiles, type SvidFiles, type SvidFilesOptions } from './svid-files.ts'
export {
  type BundlesListener,
  openWorkloadApi,
  type ProblemListener,
  type WorkloadApi,
  type WorkloadApiOptions,
} from './workload-api.ts'
export type { X509Context, X509Svid } from './x509-context.ts'
