/** A real SPIRE server and agent for one trust domain, on loopback, in a folder of their own. */
import { copyFile, link, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { buildSpire } from './build.ts'
import { type Child, run, start, until } from './child.ts'

export interface SpireOptions {
  readonly trustDomain: string
  /** Short, since it holds Unix sockets; removed by whoever made it. */
  readonly directory: string
  /** Of the CA and of the key that signs JWT-SVIDs. */
  readonly keyType?: 'ec-p256' | 'rsa-2048'
  /** What JWT-SVIDs name as their `iss`; they name none without it. */
  readonly jwtIssuer?: string
  /** A CA above the domain's own, whose SVIDs then come with an intermediate certificate. */
  readonly upstream?: CertificateFiles
  /** How the domain publishes its bundle: by its own SVID, or by a certificate of the web. */
  readonly endpoint?: 'https_spiffe' | CertificateFiles
}

export type AuthorityKind = 'x509' | 'jwt'

/** In PEM. */
export interface CertificateFiles {
  readonly certificateFile: string
  readonly keyFile: string
}

export interface Entry {
  /** As in `/agents/report-bot`. */
  readonly path: string
  /** The executable that a process must run to be this workload. */
  readonly program: string
  /** Trust domains whose bundles the workload is given. */
  readonly federatesWith?: readonly string[]
  readonly x509TtlSeconds?: number
  readonly jwtTtlSeconds?: number
}

export interface Spire {
  readonly trustDomain: string
  /** The Workload API, as `unix:///…`; it answers once `startAgent` has resolved. */
  readonly socket: string
  /** Where the bundle can be fetched, and the SPIFFE ID that serves it by `https_spiffe`. */
  readonly endpoint: { readonly url: string; readonly spiffeId: string }
  /** The domain's bundle, in the SPIFFE format. */
  bundle(): Promise<string>
  /** Follows another domain's bundle, at its endpoint, for the workloads that are to know it. */
  federateWith(other: Pick<Spire, 'trustDomain' | 'endpoint' | 'bundle'>): Promise<void>
  register(entry: Entry): Promise<void>
  /** Entries that were made before are known to the agent from its start. */
  startAgent(): Promise<void>
  /** Puts a new CA, or a new key for JWT-SVIDs, into the bundle; returns its name. */
  prepareAuthority(kind: AuthorityKind): Promise<string>
  /** Signs with the prepared one from now on; returns the name of the one before. */
  activateAuthority(kind: AuthorityKind, id: string): Promise<string>
  /** Has what the old one signed replaced, soon. */
  taintAuthority(kind: AuthorityKind, id: string): Promise<void>
  /** Takes an authority that is tainted out of the bundle. */
  revokeAuthority(kind: AuthorityKind, id: string): Promise<void>
  stop(): Promise<void>
}

/** How long SVIDs live where nothing else is said. */
export const SVID_TTL_SECONDS = 60

/** @throws {Error} with what SPIRE printed when it does not come up */
export async function startSpire(options: SpireOptions): Promise<Spire> {
  const { trustDomain, directory } = options
  const programs = buildSpire()
  const [port, bundlePort] = [await freePort(), await freePort()]
  const serverSocket = join(directory, 'server.sock')
  const agentSocket = join(directory, 'agent.sock')
  const node = `spiffe://${trustDomain}/node`
  await mkdir(join(directory, 'agent'), { recursive: true })
  await mkdir(join(directory, 'server'), { recursive: true })
  const configure = async (name: string, config: object) => {
    const file = join(directory, `${name}.conf.json`)
    await writeFile(file, JSON.stringify(config))
    return ['run', '-config', file]
  }
  const children: Child[] = []
  const control = (args: readonly string[]) =>
    run(programs.server, [...args, '-socketPath', serverSocket])

  const authority = async (kind: AuthorityKind, command: string, args: string[] = []) => {
    const printed = await control(['localauthority', kind, command, '-output', 'json', ...args])
    return JSON.parse(printed) as Record<string, { authority_id: string } | undefined>
  }

  const server = start(
    programs.server,
    await configure('server', serverConfig(options, { port, bundlePort, serverSocket })),
  )
  children.push(server)
  await until('the SPIRE server does not come up', server, () => control(['healthcheck']))

  return {
    trustDomain,
    socket: `unix://${agentSocket}`,
    endpoint: {
      url: `https://127.0.0.1:${bundlePort}/`,
      spiffeId: `spiffe://${trustDomain}/spire/server`,
    },
    bundle: () => control(['bundle', 'show', '-format', 'spiffe']),
    async federateWith(other) {
      const bundleFile = join(directory, `${other.trustDomain}.json`)
      await writeFile(bundleFile, await other.bundle())
      await control([
        ...['federation', 'create', '-trustDomain', other.trustDomain],
        ...['-bundleEndpointURL', other.endpoint.url, '-bundleEndpointProfile', 'https_spiffe'],
        ...['-endpointSpiffeID', other.endpoint.spiffeId],
        ...['-trustDomainBundlePath', bundleFile, '-trustDomainBundleFormat', 'spiffe'],
      ])
    },
    async register({ path, program, federatesWith = [], x509TtlSeconds, jwtTtlSeconds }) {
      await control([
        ...['entry', 'create', '-parentID', node, '-spiffeID', `spiffe://${trustDomain}${path}`],
        ...['-selector', `unix:path:${program}`],
        ...['-x509SVIDTTL', String(x509TtlSeconds ?? SVID_TTL_SECONDS)],
        ...['-jwtSVIDTTL', String(jwtTtlSeconds ?? SVID_TTL_SECONDS)],
        ...federatesWith.flatMap((name) => ['-federatesWith', `spiffe://${name}`]),
      ])
    },
    async startAgent() {
      const answer = await control(['token', 'generate', '-spiffeID', node, '-output', 'json'])
      const bundleFile = join(directory, 'bootstrap.json')
      await writeFile(bundleFile, await control(['bundle', 'show', '-format', 'spiffe']))
      const joinToken = (JSON.parse(answer) as { value: string }).value
      const agent = start(
        programs.agent,
        await configure(
          'agent',
          agentConfig(options, { port, agentSocket, bundleFile, joinToken }),
        ),
      )
      children.push(agent)
      const probe = ['healthcheck', '-socketPath', agentSocket]
      await until('the SPIRE agent does not come up', agent, () => run(programs.agent, probe))
    },
    async prepareAuthority(kind) {
      const { prepared_authority: prepared } = await authority(kind, 'prepare')
      if (prepared === undefined) throw new Error(`no ${kind} authority was prepared`)
      return prepared.authority_id
    },
    async activateAuthority(kind, id) {
      await authority(kind, 'activate', ['-authorityID', id])
      const { old } = await authority(kind, 'show')
      if (old === undefined) throw new Error(`no ${kind} authority was replaced`)
      return old.authority_id
    },
    async taintAuthority(kind, id) {
      await authority(kind, 'taint', ['-authorityID', id])
    },
    async revokeAuthority(kind, id) {
      await authority(kind, 'revoke', ['-authorityID', id])
    },
    async stop() {
      await Promise.all(children.map((child) => child.stop()))
    },
  }
}

/** HCL reads JSON; plugins are lists there. */
function serverConfig(
  options: SpireOptions,
  at: { port: number; bundlePort: number; serverSocket: string },
): object {
  const { trustDomain, directory, keyType = 'ec-p256', endpoint = 'https_spiffe' } = options
  const { upstream, jwtIssuer } = options
  const database = join(directory, 'server', 'datastore.sqlite3')
  return {
    server: {
      bind_address: '127.0.0.1',
      bind_port: String(at.port),
      trust_domain: trustDomain,
      data_dir: join(directory, 'server'),
      socket_path: at.serverSocket,
      log_level: 'WARN',
      ca_key_type: keyType,
      default_x509_svid_ttl: `${SVID_TTL_SECONDS}s`,
      default_jwt_svid_ttl: `${SVID_TTL_SECONDS}s`,
      agent_ttl: '10m',
      ...(jwtIssuer !== undefined && { jwt_issuer: jwtIssuer }),
      federation: {
        bundle_endpoint: {
          address: '127.0.0.1',
          port: at.bundlePort,
          refresh_hint: '1m',
          profile: [endpointProfile(endpoint)],
        },
      },
      experimental: { cache_reload_interval: '1s' },
    },
    plugins: {
      DataStore: [
        { sql: { plugin_data: { database_type: 'sqlite3', connection_string: database } } },
      ],
      NodeAttestor: [{ join_token: { plugin_data: {} } }],
      KeyManager: [{ memory: { plugin_data: {} } }],
      ...(upstream && { UpstreamAuthority: [{ disk: { plugin_data: pathsOf(upstream) } }] }),
    },
  }
}

function pathsOf({ certificateFile, keyFile }: CertificateFiles): object {
  return { cert_file_path: certificateFile, key_file_path: keyFile }
}

function endpointProfile(endpoint: NonNullable<SpireOptions['endpoint']>): object {
  if (endpoint === 'https_spiffe') return { https_spiffe: {} }
  return { https_web: { serving_cert_file: { ...pathsOf(endpoint), file_sync_interval: '1h' } } }
}

function agentConfig(
  { trustDomain, directory }: SpireOptions,
  at: { port: number; agentSocket: string; bundleFile: string; joinToken: string },
): object {
  return {
    agent: {
      data_dir: join(directory, 'agent'),
      log_level: 'WARN',
      server_address: '127.0.0.1',
      server_port: String(at.port),
      socket_path: at.agentSocket,
      trust_bundle_path: at.bundleFile,
      trust_bundle_format: 'spiffe',
      trust_domain: trustDomain,
      join_token: at.joinToken,
      experimental: { sync_interval: '1s' },
    },
    plugins: {
      NodeAttestor: [{ join_token: { plugin_data: {} } }],
      KeyManager: [{ memory: { plugin_data: {} } }],
      // A workload is known by the file it runs; its digest would be read at every connection.
      WorkloadAttestor: [
        { unix: { plugin_data: { discover_workload_path: true, workload_size_limit: -1 } } },
      ],
    },
  }
}

/**
 * Gives a program a file of its own, by which SPIRE can tell it from others that run the same
 * program, and returns the path.
 */
export async function ownProgram(program: string, path: string): Promise<string> {
  await link(program, path).catch(() => copyFile(program, path))
  return path
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
