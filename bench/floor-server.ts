// The floor of an exchange: bare node:http, one signature check on a cached key (the workload's own is
// cached, as it is in the broker), one store command, one signature. It checks nothing else.
import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Redis } from 'ioredis'
import { schemeOf } from '../src/token/algorithm.ts'
import { derFromJws, jwsFromDer } from '../src/token/ecdsa.ts'
import { answerCpu, type ServerOptions } from './child.ts'

const options = JSON.parse(process.argv[2] ?? '{}') as ServerOptions
const scheme = schemeOf('ES256')
if (scheme.kind !== 'ecdsa') throw new Error('ES256 is ECDSA')
const { curve } = scheme
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const keys = new Map<string, KeyObject>()
const spend =
  options.redisUrl === undefined ? sqliteSpend(options.directory) : redisSpend(options.redisUrl)
const header = Buffer.from('{"typ":"at+jwt","alg":"ES256","kid":"floor"}').toString('base64url')

const server = createServer((req, res) => {
  const chunks: Buffer[] = []
  req.on('data', (chunk: Buffer) => chunks.push(chunk))
  req.on('end', async () => {
    const form = new URLSearchParams(Buffer.concat(chunks).toString())
    const [head, payload, signature] = String(req.headers.dpop).split('.') as [
      string,
      string,
      string,
    ]
    let key = keys.get(head)
    if (key === undefined) {
      key = createPublicKey({
        key: JSON.parse(Buffer.from(head, 'base64url').toString()).jwk,
        format: 'jwk',
      })
      keys.set(head, key)
    }
    const der = derFromJws(Buffer.from(signature, 'base64url'), curve)!
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
    const good = verify('sha256', Buffer.from(`${head}.${payload}`), key, der)
    if (!good || !(await spend(claims.jti))) {
      res.writeHead(400).end()
      return
    }
    const now = Math.floor(Date.now() / 1000)
    const body = Buffer.from(
      JSON.stringify({
        iss: 'floor',
        aud: form.get('resource'),
        jti: claims.jti,
        iat: now,
        exp: now + 60,
      }),
    ).toString('base64url')
    const input = `${header}.${body}`
    const token = `${input}.${jwsFromDer(sign('sha256', Buffer.from(input), privateKey), curve).toString('base64url')}`
    const answer = JSON.stringify({ access_token: token, token_type: 'DPoP', expires_in: 60 })
    res
      .writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
      .end(answer)
  })
})
server.listen(0, '127.0.0.1', () => {
  answerCpu(`http://127.0.0.1:${(server.address() as AddressInfo).port}/token`)
})

/** The one command of `ledger/redis.ts`, on a bare client. */
function redisSpend(url: string): (id: string) => Promise<boolean> {
  const redis = new Redis(url, { enableAutoPipelining: true })
  return async (id) => (await redis.set(`floor:${id}`, '1', 'EX', 60, 'NX')) === 'OK'
}

/** One transaction for everything that came in the same turn, as `ledger/sqlite.ts` does. */
function sqliteSpend(directory: string): (id: string) => Promise<boolean> {
  const database = new DatabaseSync(join(directory, 'floor.db'))
  database.exec(
    'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE spent (id TEXT PRIMARY KEY) WITHOUT ROWID',
  )
  const insert = database.prepare('INSERT OR IGNORE INTO spent VALUES (?)')
  let waiting: { id: string; answer(won: boolean): void }[] = []
  const commit = (): void => {
    const batch = waiting
    waiting = []
    database.exec('BEGIN IMMEDIATE')
    const won = batch.map(({ id }) => insert.run(id).changes === 1)
    database.exec('COMMIT')
    for (const [index, { answer }] of batch.entries()) answer(won[index]!)
  }
  return (id) =>
    new Promise((resolve) => {
      if (waiting.push({ id, answer: resolve }) === 1) setImmediate(commit)
    })
}
