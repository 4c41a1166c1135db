import type { Context } from 'koa'

/** A follower with more than this unread is cut off; it will connect again. */
export const MAX_BACKLOG_BYTES = 1024 * 1024
const QUIET_MS = 5000

/** One follower of the events, for as long as its sign-in stands. */
export class EventStream {
  /** The admin's id. */
  readonly owner: string
  readonly #response: Context['res']
  readonly #timer: NodeJS.Timeout | undefined
  readonly #whenEnded: (() => void)[] = []
  #asking = false

  /** @param stands whether the sign-in still does; asked every few seconds */
  constructor(ctx: Context, owner: string, stands: () => Promise<boolean>) {
    this.owner = owner
    this.#response = ctx.res
    ctx.respond = false
    // Gone while its sign-in was looked at: it closes no more, so nothing would end what is begun here.
    if (this.ended) return
    this.#response.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'X-Accel-Buffering': 'no',
      // Ending the stream ends the connection, so that closing need not wait for it to be reused.
      Connection: 'close',
    })
    // Nothing is ever written to who asks for the headers alone, so nothing would end it either.
    if (ctx.method === 'HEAD') {
      this.#response.end()
      return
    }
    this.#response.flushHeaders()
    this.#timer = setInterval(() => this.#ask(stands), QUIET_MS).unref()
    this.#response.once('close', () => {
      clearInterval(this.#timer)
      for (const told of this.#whenEnded) told()
    })
  }

  get ended(): boolean {
    return this.#response.writableEnded || this.#response.destroyed
  }

  send(text: string): void {
    if (this.ended) return
    this.#response.write(text)
    if (this.#response.writableLength > MAX_BACKLOG_BYTES) this.#response.destroy()
  }

  onEnd(told: () => void): void {
    this.#whenEnded.push(told)
  }

  end(): void {
    this.#response.end()
  }

  /** Ends when the sign-in is over, and when that cannot be told; else says that it is still there. */
  #ask(stands: () => Promise<boolean>): void {
    if (this.#asking) {
      this.end()
      return
    }
    this.#asking = true
    stands().then(
      (yes) => {
        this.#asking = false
        if (yes) this.send(':\n\n')
        else this.end()
      },
      () => this.end(),
    )
  }
}
