/** Two things that stand between a broker and its followers: one cuts answers, one keeps them to itself. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * `cut`: an answer is cut off when so many events of it have been passed on.
 * `keep`: an answer is passed on when it is complete, head and all.
 * `collect`: its head is passed on at once, and its body in lumps of so many milliseconds.
 */
export type Trouble =
  | { readonly how: 'none' }
  | { readonly how: 'cut'; readonly afterEvents: number }
  | { readonly how: 'keep' }
  | { readonly how: 'collect'; readonly everyMs: number }

export interface FeedProxy {
  readonly url: string
  trouble: Trouble
  /** What has been asked for: `stream` or `poll`, in order. */
  readonly asked: ('stream' | 'poll')[]
  close(): Promise<void>
}

export async function startFeedProxy(to: number, trouble: Trouble): Promise<FeedProxy> {
  const asked: FeedProxy['asked'] = []
  const server = createServer((req, res) => {
    asked.push(/text\/event-stream/.test(req.headers.accept ?? '') ? 'stream' : 'poll')
    const upstream = request(
      { port: to, host: '127.0.0.1', path: req.url, headers: req.headers },
      (answer) => pass(answer, res, proxy.trouble),
    )
    upstream.on('error', () => res.destroy())
    res.on('close', () => upstream.destroy())
    upstream.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: FeedProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/revocations`,
    trouble,
    asked,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}

function pass(answer: IncomingMessage, res: ServerResponse, trouble: Trouble): void {
  const { 'content-type': type } = answer.headers
  const begin = () => res.writeHead(answer.statusCode ?? 502, { 'content-type': type ?? '' })
  answer.on('error', () => res.destroy())
  if (trouble.how === 'none') {
    begin().flushHeaders()
    answer.pipe(res)
    return
  }
  if (trouble.how === 'cut') {
    begin().flushHeaders()
    let left = trouble.afterEvents
    answer.on('data', (chunk: Buffer) => {
      left -= String(chunk).split('\n\n').length - 1
      res.write(chunk, () => left <= 0 && res.destroy())
    })
    answer.on('end', () => res.end())
    return
  }
  const kept: Buffer[] = []
  answer.on('data', (chunk: Buffer) => kept.push(chunk))
  if (trouble.how === 'keep') {
    answer.on('end', () => begin().end(Buffer.concat(kept)))
    return
  }
  begin().flushHeaders()
  const passOn = () => res.write(Buffer.concat(kept.splice(0)))
  const timer = setInterval(() => kept.length > 0 && passOn(), trouble.everyMs)
  res.once('close', () => clearInterval(timer))
  answer.on('end', () => passOn() && res.end())
}
