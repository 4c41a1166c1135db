/**
 * A `fetch` for the MCP client SDKs that gets a fresh token for each call.
 *
 * The transport's `fetch` is the only place where the message can be seen before it is sent, in both
 * SDKs. What is sent are the bytes that were read: the broker is asked for exactly what they say.
 */
import { randomBytes } from 'node:crypto'
import { generateSenderKey } from '../token/proof.ts'
import { raceAbort } from './abort.ts'
import { discard } from './body.ts'
import { createBrokerClient } from './broker.ts'
import { misconfigured } from './broker-call.ts'
import { type Call, detailOf, readCall } from './call.ts'
import { nameOf, type OnBehalfOf, ofSvid, readSubject } from './caller.ts'
import { type Delegation, type DelegationRequest, delegationForm } from './delegation.ts'
import { WritError } from './error.ts'
import { type Fetch, globalFetch } from './fetch.ts'
import { readDelegation, readGrant } from './grant.ts'
import { LatestNonces } from './nonces.ts'
import { type AgentOptions, checkOptions } from './options.ts'
import { presentToken } from './present.ts'
import { refusedCall } from './refused-call.ts'
import { serverConnection } from './server-connection.ts'
import { type HeldToken, TokenCache } from './token-cache.ts'

export interface Agent {
  /**
   * Give it to a transport as its `fetch` option, without an auth provider.
   *
   * @throws {WritError} when anything on the way says no
   */
  readonly fetch: Fetch
  /** The thumbprint of the agent's key (RFC 7638), by which audit and revocation know it. */
  readonly thumbprint: string
  /**
   * Gets a token by which one other agent, with one key, may act for whoever this agent acts for,
   * within a ceiling. Hand it on with the work; never hand on anything else.
   *
   * @throws {WritError} when anything on the way says no
   * @throws {TypeError} on a ceiling that allows nothing
   */
  delegate(request: DelegationRequest): Promise<Delegation>
}

/** Rotations happen hourly; a second one within a call is no coincidence. */
const MAX_CERTIFICATES = 3

/**
 * @throws {WritError} `url_refused` when the broker's URL is neither https nor loopback
 * @throws {TypeError} on options that contradict each other
 */
export function createAgent(options: AgentOptions): Agent {
  checkOptions(options)
  const { spiffe, binding = 'dpop' } = options
  const key = options.key ?? generateSenderKey()
  const send = options.fetch ?? globalFetch
  const broker = createBrokerClient({
    issuer: options.broker,
    identity: options.identity,
    spiffe,
    grant: options.grant,
    binding,
    brokerSpiffeId: options.brokerSpiffeId,
    key,
    fetch: send,
  })
  const connect = serverConnection({ spiffe, binding, fetch: send })
  const nonces = new LatestNonces()
  const cache = new TokenCache()
  const ownTask = `agent-${randomBytes(9).toString('base64url')}`
  const wrong = (what: string) => misconfigured(options.broker, what)

  async function obtain(
    { demand, resource, purpose }: Call,
    subject: OnBehalfOf | undefined,
    signal: AbortSignal | undefined,
  ): Promise<HeldToken> {
    const asked =
      demand.token === 'action' ? detailOf(demand, resource, taskFor(subject)) : undefined
    const details = asked && { authorization_details: JSON.stringify([asked]) }
    const request = { subject, asked: { resource, ...details }, purpose, signal }
    const { body, askedAt } = await broker.ask(request)
    return readGrant(
      body,
      {
        asked,
        askedAt,
        exchanged:
          subject !== undefined ||
          (options.identity !== undefined && options.grant !== 'jwt-bearer'),
        binding,
        bearer: options.unsafeAcceptBearer !== undefined,
      },
      wrong,
    )
  }

  function taskFor(subject: OnBehalfOf | undefined): string | undefined {
    if (subject?.tokenType === 'delegation') return undefined
    return (typeof options.task === 'function' ? options.task() : options.task) ?? ownTask
  }

  /** The certificate that tokens are bound to now, if it is one. */
  const certificate = async () =>
    binding === 'mtls' ? await ofSvid(() => spiffe?.thumbprint()) : undefined

  /** A token for the call, and what to forget it by. */
  async function tokenFor(call: Call): Promise<{ held: HeldToken; name: string | undefined }> {
    const { shared, signal } = call
    const subject = await readSubject(options.onBehalfOf)
    for (let attempt = 1; ; attempt++) {
      const boundTo = await certificate()
      const name =
        shared && JSON.stringify([...shared, { for: nameOf(subject), certificate: boundTo }])
      const held =
        name === undefined
          ? await obtain(call, subject, signal)
          : // Shared by several callers, so no single one of them may abort it.
            await raceAbort(
              cache.take(
                name,
                () => Date.now() / 1000,
                () => obtain(call, subject, undefined),
              ),
              signal,
            )
      // A token that is bound to a certificate dies with it, also on its way here.
      if (attempt === MAX_CERTIFICATES || (await certificate()) === boundTo) return { held, name }
    }
  }

  async function agentFetch(input: string | URL, init: RequestInit = {}): Promise<Response> {
    const call = readCall(input, init, options.resource ?? defaultResource)
    const { held, name } = await tokenFor(call)
    const { url, method, purpose } = call
    const { token, scheme } = held
    const fetch = connect(url, held.serverSpiffeId)
    const response = await presentToken({ url, init, method, token, scheme, key, nonces, fetch })
    if (response.status === 401 || response.status === 403) {
      // Revoked, or unknown after a loss: the next call starts with a new one.
      if (name !== undefined) cache.forget(name, token)
      throw await refusedCall(response, url, purpose)
    }
    if (response.status >= 300 && response.status < 400) {
      await discard(response)
      throw new WritError(
        'redirect_refused',
        `the MCP server at ${url.origin} answered ${purpose} with a redirect; use the URL it moved to`,
        { status: response.status },
      )
    }
    return response
  }

  async function delegate(request: DelegationRequest): Promise<Delegation> {
    const asked = delegationForm(request)
    const subject = await readSubject(options.onBehalfOf)
    const purpose = `a delegation to ${request.to}`
    const { body, askedAt } = await broker.ask({ subject, asked, purpose, signal: request.signal })
    return { tokenType: 'delegation', ...readDelegation(body, askedAt, wrong) }
  }

  return { fetch: agentFetch, thumbprint: key.jkt, delegate }
}

function defaultResource(url: URL): string {
  // MCP's canonical URI of a server has no slash after a bare host.
  return url.pathname === '/' ? url.origin : `${url.origin}${url.pathname}`
}
