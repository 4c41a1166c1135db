/**
 * The Workload API on the wire (SPIFFE Workload API §3): names and field numbers are the standard's.
 * Only what is used here is described; protobuf skips the rest.
 */
import {
  type ChannelOptions,
  type ClientOptions,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'

export interface X509SvidMessage {
  readonly spiffe_id: string
  /** DER, the leaf first, one after the other. */
  readonly x509_svid: Buffer
  /** PKCS#8 in DER. */
  readonly x509_svid_key: Buffer
  /** DER, one after the other. */
  readonly bundle: Buffer
  readonly hint: string
}

export interface X509SvidResponse {
  readonly svids: readonly X509SvidMessage[]
  /** By the SPIFFE ID of the trust domain. */
  readonly federated_bundles: Readonly<Record<string, Buffer>>
}

export interface BundlesResponse {
  /** By the SPIFFE ID of the trust domain: DER certificates one after the other, or a JWK Set. */
  readonly bundles: Readonly<Record<string, Buffer>>
}

export interface JwtSvidResponse {
  readonly svids: readonly { readonly spiffe_id: string; readonly svid: string }[]
}

const text = (id: number) => ({ type: 'string', id })
const bytes = (id: number) => ({ type: 'bytes', id })
const bundles = (id: number) => ({ keyType: 'string', type: 'bytes', id })
const list = (type: string, id: number) => ({ rule: 'repeated', type, id })

const DESCRIPTOR = {
  nested: {
    X509SVIDRequest: { fields: {} },
    X509SVIDResponse: {
      fields: { svids: list('X509SVID', 1), federated_bundles: bundles(3) },
    },
    X509SVID: {
      fields: {
        spiffe_id: text(1),
        x509_svid: bytes(2),
        x509_svid_key: bytes(3),
        bundle: bytes(4),
        hint: text(5),
      },
    },
    X509BundlesRequest: { fields: {} },
    X509BundlesResponse: { fields: { bundles: bundles(2) } },
    JWTSVIDRequest: { fields: { audience: list('string', 1), spiffe_id: text(2) } },
    JWTSVIDResponse: { fields: { svids: list('JWTSVID', 1) } },
    JWTSVID: { fields: { spiffe_id: text(1), svid: text(2), hint: text(3) } },
    JWTBundlesRequest: { fields: {} },
    JWTBundlesResponse: { fields: { bundles: bundles(1) } },
    SpiffeWorkloadAPI: {
      methods: {
        FetchX509SVID: {
          requestType: 'X509SVIDRequest',
          responseType: 'X509SVIDResponse',
          responseStream: true,
        },
        FetchX509Bundles: {
          requestType: 'X509BundlesRequest',
          responseType: 'X509BundlesResponse',
          responseStream: true,
        },
        FetchJWTSVID: { requestType: 'JWTSVIDRequest', responseType: 'JWTSVIDResponse' },
        FetchJWTBundles: {
          requestType: 'JWTBundlesRequest',
          responseType: 'JWTBundlesResponse',
          responseStream: true,
        },
      },
    },
  },
}

/** The four calls that are made here. */
const WORKLOAD_API = fromJSON(DESCRIPTOR as Parameters<typeof fromJSON>[0], {
  keepCase: true,
  defaults: true,
}).SpiffeWorkloadAPI as ServiceDefinition

export type StreamMethod = 'FetchX509SVID' | 'FetchX509Bundles' | 'FetchJWTBundles'

export function method<Request, Response>(
  name: StreamMethod | 'FetchJWTSVID',
): MethodDefinition<Request, Response> {
  return WORKLOAD_API[name] as MethodDefinition<Request, Response>
}

/** SPIFFE Workload Endpoint §3: without this the endpoint refuses, so that a forged request cannot ask. */
export function callMetadata(): Metadata {
  const metadata = new Metadata()
  metadata.set('workload.spiffe.io', 'true')
  return metadata
}

/** A state of many identities and bundles fits; more is not read into memory. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024

export function channelOptions(firstBackoffMs: number, maxBackoffMs: number): ClientOptions {
  const options: ChannelOptions = {
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    // The endpoint is local, and what travels are private keys: never by way of a proxy.
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': firstBackoffMs,
    'grpc.max_reconnect_backoff_ms': maxBackoffMs,
    // Streams are silent for as long as nothing changes; a dead peer must show all the same.
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
  }
  return options
}
