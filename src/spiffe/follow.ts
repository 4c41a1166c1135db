import type { Client, ServiceError } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'
import type { Backoff } from './backoff.ts'
import { SpiffeError } from './error.ts'
import { callMetadata, method, type StreamMethod } from './protocol.ts'
import { apiError, verdictOf } from './status.ts'

export interface Follower<Message> {
  /** May throw a `SpiffeError`: the message is discarded, and asked for again after a while. */
  onMessage(message: Message): void
  /** The endpoint has nothing for us (any more): what it gave before must not be used. */
  onDenied(error: SpiffeError): void
  /** Something else is wrong; what was last given stands. */
  onProblem(error: SpiffeError): void
  /** Nothing will ever come. */
  onFatal(error: SpiffeError): void
}

/**
 * A denial of what was given before counts when it is said twice. SPIRE's agent says it for a moment to
 * everybody while it replaces SVIDs whose authority was tainted; nobody's identity is taken away by that.
 */
const ASK_AGAIN_MS = 500

/**
 * Follows one stream of the Workload API for as long as it is wanted. Every message is the whole
 * state; a stream that ends, for whatever reason but a fatal one, is opened again after a bounded wait.
 */
export function followStream<Message>(
  { client, address, backoff }: { client: Client; address: string; backoff: Backoff },
  name: StreamMethod,
  follower: Follower<Message>,
): { close(): void } {
  const { path, requestSerialize, responseDeserialize } = method<object, Message>(name)
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let cancel = () => {}
  /** Something was given that has not been denied since. */
  let given = false
  let deniedOnce = false

  function open(): void {
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      {},
      callMetadata(),
    )
    // A call tells of its end more than once (a message we threw away, then its cancellation).
    let over = false
    const end = (then: () => 'again' | 'soon' | 'never'): void => {
      if (over) return
      over = true
      call.cancel()
      if (closed) return
      const when = then()
      if (when === 'never') return
      timer = setTimeout(open, when === 'soon' ? ASK_AGAIN_MS : backoff.next())
    }
    cancel = () => end(() => 'never')

    call.on('data', (message: Message) => {
      if (over || closed) return
      try {
        follower.onMessage(message)
        given = true
        deniedOnce = false
        backoff.reset()
      } catch (error) {
        if (!(error instanceof SpiffeError)) throw error
        end(() => {
          follower.onProblem(error)
          return 'again'
        })
      }
    })
    call.on('error', (error: ServiceError) => {
      end(() => {
        const problem = apiError(error, address)
        const verdict = verdictOf(error)
        if (verdict === 'denied' && given && !deniedOnce) {
          deniedOnce = true
          return 'soon'
        }
        if (verdict === 'denied') given = false
        if (verdict === 'fatal') follower.onFatal(problem)
        else if (verdict === 'denied') follower.onDenied(problem)
        else follower.onProblem(problem)
        return verdict === 'fatal' ? 'never' : 'again'
      })
    })
    call.on('end', () => {
      end(() => {
        const details = 'the stream ended'
        follower.onProblem(apiError({ code: status.UNAVAILABLE, details }, address))
        return 'again'
      })
    })
  }

  open()
  return {
    close() {
      closed = true
      clearTimeout(timer)
      cancel()
    },
  }
}
