// A Workload API endpoint on a real unix socket, which says what a test tells it to.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  loadPackageDefinition,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceClientConstructor,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTO = fileURLToPath(new URL('workload.proto', import.meta.url))

export interface SvidMessage {
  spiffe_id: string
  x509_svid: Uint8Array
  x509_svid_key: Uint8Array
  bundle: Uint8Array
  hint?: string
}

/** What the endpoint says now: a message, or the status it ends the call with. */
export interface Script {
  x509?: { svids: SvidMessage[]; federated_bundles?: Record<string, Uint8Array> } | Failure
  x509Bundles?: { bundles: Record<string, Uint8Array> } | Failure
  jwtBundles?: { bundles: Record<string, Uint8Array> } | Failure
  jwt?: (request: { audience: string[]; spiffe_id: string }) => Promise<object> | object
}

interface Failure {
  code: status
  details: string
}

type Stream = ServerWritableStream<object, object>
type Kind = 'x509' | 'x509Bundles' | 'jwtBundles'

export class EndpointServer {
  readonly #directory: string
  readonly path: string
  readonly socket: string
  script: Script = {}
  /** Names of the calls that were made, in order. */
  readonly calls: string[] = []
  readonly #streams = new Map<Stream, Kind>()
  #server: Server | undefined

  static async create(): Promise<EndpointServer> {
    return new EndpointServer(await mkdtemp(join(tmpdir(), 'writ-spiffe-')))
  }

  private constructor(directory: string) {
    this.#directory = directory
    this.path = join(directory, 'api.sock')
    this.socket = `unix://${this.path}`
  }

  async start(): Promise<void> {
    const server = new Server()
    const definition = loadSync(PROTO, { keepCase: true })
    const { service } = loadPackageDefinition(definition)
      .SpiffeWorkloadAPI as ServiceClientConstructor
    server.addService(service, {
      FetchX509SVID: (call: Stream) => this.#stream('x509', call),
      FetchX509Bundles: (call: Stream) => this.#stream('x509Bundles', call),
      FetchJWTBundles: (call: Stream) => this.#stream('jwtBundles', call),
      FetchJWTSVID: (
        call: ServerUnaryCall<{ audience: string[]; spiffe_id: string }, object>,
        answer: sendUnaryData<object>,
      ) => {
        this.calls.push('jwt')
        const refusal = refusalOf(call.metadata)
        if (refusal !== undefined) return answer(refusal)
        Promise.resolve()
          .then(() => this.script.jwt?.(call.request) ?? { svids: [] })
          .then(
            (message) => answer(null, message),
            (error: Failure) => answer(error),
          )
      },
    })
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${this.path}`, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      )
    })
    this.#server = server
  }

  /** Serves on a TCP port as well. @returns its address */
  async listenTcp(): Promise<string> {
    const port = await new Promise<number>((resolve, reject) => {
      this.#server?.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      )
    })
    return `tcp://127.0.0.1:${port}`
  }

  /** Says it to everybody who listens, and to whoever comes. */
  say(script: Script): void {
    this.script = { ...this.script, ...script }
    for (const [stream, kind] of this.#streams) if (script[kind]) this.#speak(kind, stream)
  }

  /** The process dies; everybody's connection is lost. */
  async stop(): Promise<void> {
    this.#server?.forceShutdown()
    this.#server = undefined
    this.#streams.clear()
    await rm(this.path, { force: true })
  }

  async remove(): Promise<void> {
    await this.stop()
    await rm(this.#directory, { recursive: true, force: true })
  }

  #stream(kind: Kind, call: Stream): void {
    this.calls.push(kind)
    const refusal = refusalOf(call.metadata)
    if (refusal !== undefined) {
      call.emit('error', refusal)
      return
    }
    this.#streams.set(call, kind)
    call.on('cancelled', () => this.#streams.delete(call))
    this.#speak(kind, call)
  }

  #speak(kind: Kind, call: Stream): void {
    const said = this.script[kind]
    if (said === undefined) return
    if ('code' in said) {
      this.#streams.delete(call)
      call.emit('error', said)
    } else {
      call.write(said)
    }
  }
}

/** SPIFFE Workload Endpoint §3. */
function refusalOf(metadata: Metadata): Failure | undefined {
  const [value] = metadata.get('workload.spiffe.io')
  if (value === 'true') return undefined
  return { code: status.INVALID_ARGUMENT, details: 'security header missing from request' }
}
