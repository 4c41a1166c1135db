/**
 * A `fetch` for the MCP client SDKs that gets a fresh token for each call.
 *
 * The transport's `fetch` is the only place where the message can be seen before it is sent, in both
 * SDKs. What is sent are the bytes that were read: the broker is asked for exactly what they say.
 */
import { randomBytes } from 'node:crypto'
import { raceAbort } from '../lib/race-abort.ts'
import { generateSenderKey } from '../token/proof.ts'
import { discard } from './body.ts'
import { createBrokerClient } from './broker.ts'
import { misconfigured } from './broker-call.ts'
import { type Call, detailOf, readCall } from './call.ts'
import {
  type Caller,
  nameOf,
  type OnBehalfOf,
  ofSvid,
  readCaller,
  readSubject,
  workloadOf,
} from './caller.ts'
import { type Delegation, type DelegationRequest, delegationForm } from './delegation.ts'
import { WritError } from './error.ts'
import { type Fetch, globalFetch } from './fetch.ts'
import { readDelegation, readGrant } from './grant.ts'
import { LatestNonces } from './nonces.ts'
import { type AgentOptions, checkOptions } from './options.ts'
import { presentToken } from './present.ts'
import { refusedCall } from './refused-call.ts'
import { serverConnection } from './server-connection.ts'
import type { SpiffeConnections } from './spiffe-connect.ts'
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
   * @throws {TypeError} on a ceiling that allows nothing, and for an agent with nothing but a certificate
   */
  delegate(request: DelegationRequest): Promise<Delegation>
}

/** Who makes one call and for whom, under which label, and over which connections. */
interface Terms {
  readonly caller: Caller
  readonly subject: OnBehalfOf | undefined
  readonly connections: SpiffeConnections | undefined
  /** Undefined for what has no label: sessions, and what another agent handed on. */
  readonly task: string | undefined
}

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
    certificateOnly: options.identity === undefined,
    grant: options.grant,
    binding,
    brokerSpiffeId: options.brokerSpiffeId,
    key,
    fetch: send,
  })
  const connect = serverConnection({ binding, fetch: send })
  const nonces = new LatestNonces()
  const cache = new TokenCache()
  const ownTask = `agent-${randomBytes(9).toString('base64url')}`
  const wrong = (what: string) => misconfigured(options.broker, what)

  async function obtain(
    { demand, resource, purpose }: Call,
    { task, ...terms }: Terms,
    signal: AbortSignal | undefined,
  ): Promise<HeldToken> {
    const asked = demand.token === 'action' ? { demand, resource } : undefined
    const details = asked && {
      authorization_details: JSON.stringify([detailOf(asked.demand, resource, task)]),
    }
    const request = { ...terms, asked: { resource, ...details }, purpose, signal }
    const { body, askedAt } = await broker.ask(request)
    return readGrant(
      body,
      {
        asked,
        askedAt,
        exchanged:
          terms.subject !== undefined ||
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

  /** A token that is bound to a certificate is asked for and shown with that one, whatever comes next. */
  async function termsOf(labelled: boolean): Promise<Terms> {
    const subject = await readSubject(options.onBehalfOf)
    const connections = binding === 'mtls' ? await ofSvid(() => spiffe?.pinned()) : spiffe
    const caller = await readCaller(options.identity, connections)
    return { caller, subject, connections, task: labelled ? taskFor(subject) : undefined }
  }

  /** What keeps tokens apart that may be used again. */
  async function nameFor(shared: readonly string[], terms: Terms) {
    const { caller, subject, connections, task } = terms
    const certificate =
      binding === 'mtls' ? await ofSvid(() => connections?.thumbprint()) : undefined
    const name = { by: workloadOf(caller), for: nameOf(subject), certificate, task }
    return JSON.stringify([...shared, name])
  }

  async function agentFetch(input: string | URL, init: RequestInit = {}): Promise<Response> {
    const call = readCall(input, init, options.resource ?? defaultResource)
    const { shared, signal } = call
    const terms = await raceAbort(termsOf(call.demand.token === 'action'), signal)
    const name = shared && (await nameFor(shared, terms))
    // Shared by several callers, so no single one of them may abort it.
    const held = await (name === undefined
      ? obtain(call, terms, signal)
      : raceAbort(
          cache.take(name, seconds, () => obtain(call, terms, undefined)),
          signal,
        ))
    const { url, method, purpose } = call
    const { token, scheme } = held
    const fetch = connect(url, held.serverSpiffeId, terms.connections)
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
    const { signal } = request
    const { task, ...terms } = await raceAbort(termsOf(true), signal)
    const asked = delegationForm(request, task)
    const purpose = `a delegation to ${request.to}`
    const { body, askedAt } = await broker.ask({ ...terms, asked, purpose, signal })
    return { tokenType: 'delegation', ...readDelegation(body, askedAt, wrong) }
  }

  return { fetch: agentFetch, thumbprint: key.jkt, delegate }
}

const seconds = () => Date.now() / 1000

function defaultResource(url: URL): string {
  // MCP's canonical URI of a server has no slash after a bare host.
  return url.pathname === '/' ? url.origin : `${url.origin}${url.pathname}`
}
