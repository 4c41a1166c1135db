/**
 * The part of an OAuth client that an SDK leaves to its user, kept in memory: the authorization
 * server of the suite answers at once, so "signing in" is one request.
 */
export class MemoryOAuth {
  readonly redirectUrl = 'http://localhost:3000/callback'
  readonly clientMetadata = {
    client_name: 'writ-conformance',
    redirect_uris: [this.redirectUrl],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  }
  /** The authorization server's answer: code, iss. */
  answer: URLSearchParams | undefined
  #client: unknown
  #tokens: unknown
  #verifier = ''

  clientInformation(): never {
    return this.#client as never
  }
  saveClientInformation(client: unknown): void {
    this.#client = client
  }
  tokens(): never {
    return this.#tokens as never
  }
  saveTokens(tokens: unknown): void {
    this.#tokens = tokens
  }
  saveCodeVerifier(verifier: string): void {
    this.#verifier = verifier
  }
  codeVerifier(): string {
    return this.#verifier
  }
  async redirectToAuthorization(url: URL): Promise<void> {
    const response = await fetch(url, { redirect: 'manual' })
    this.answer = new URL(response.headers.get('location') ?? '', url).searchParams
  }
}
