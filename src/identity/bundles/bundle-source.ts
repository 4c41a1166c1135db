/** Where a bundle comes from, and what each place has in common for `Bundles`. */

export interface FileSource {
  /** The trust domain's name, as in `corp.example`. */
  readonly trustDomain: string
  /** A SPIFFE bundle document. */
  readonly file: string
}

/** SPIFFE Federation §5.2: the parameters of a bundle endpoint. */
export type BundleEndpoint =
  | {
      /** `https:`, without user information. */
      readonly url: string
      /** The endpoint's certificate is one of the Web PKI, for the host in the URL. */
      readonly profile: 'https_web'
    }
  | {
      readonly url: string
      /** The endpoint's certificate is an X509-SVID with exactly this id; the host name means nothing. */
      readonly profile: 'https_spiffe'
      readonly spiffeId: string
      /**
       * The bundle that authenticates the first fetch. Needed when the id is of the very domain that
       * is fetched; otherwise the id's own domain must be configured, and there is none to give.
       */
      readonly bootstrapFile?: string | undefined
    }

export interface EndpointSource {
  readonly trustDomain: string
  readonly endpoint: BundleEndpoint
  /** How long a fetched bundle serves without a new fetch; an hour by default. */
  readonly maxAgeSeconds?: number | undefined
  /** Special-use addresses (IP or CIDR) the URL may lead to. */
  readonly allowAddresses?: readonly string[] | undefined
  /** PEM; instead of the public authorities, for `https_web` only. */
  readonly caFile?: string | undefined
}

/** What a stream says about one trust domain; each kind replaces what was there of that kind. */
export interface StreamedBundle {
  /** A JWK Set; null when the stream does not know the domain any more. */
  readonly jwt?: Uint8Array | null
  /** DER, one authority each; empty or null when the stream does not know the domain any more. */
  readonly x509?: readonly Uint8Array[] | null
}

/** A stream of bundles of one trust domain, such as the Workload API's. */
export interface BundleStream {
  /**
   * Begins. Every message is the whole truth about the kinds it has.
   *
   * @param onProblem the stream is interrupted; the next message about a kind ends it. `kind` says
   *   that only one kind is concerned
   */
  start(
    onBundle: (bundle: StreamedBundle) => void,
    onProblem: (detail: string, kind?: 'jwt' | 'x509') => void,
  ): { close(): void }
}

export interface StreamSource {
  readonly trustDomain: string
  readonly stream: BundleStream
  /** How long the last good bundle serves when the stream is lost; an hour by default. */
  readonly maxAgeSeconds?: number | undefined
}

export type BundleSource = FileSource | EndpointSource | StreamSource

/** Follows one source and installs what it says. */
export interface BundleFollower {
  /**
   * Begins, and waits for the first answer, good or bad.
   *
   * @throws {Error} when the broker must not start on this: a file of the operator's is broken
   */
  start(): Promise<void>
  /** Asks again now. Does not reject. */
  reload(): Promise<void>
  close(): void
}
