/** Redis over TLS, as it is set up with an authority of its own that asks for client certificates. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { type RedisLedgerOptions, redisLedger } from '../../src/ledger/redis.ts'
import { parseRedisUrl } from '../../src/ledger/redis-connect.ts'
import type { Place } from '../../src/ledger/redis-topology.ts'
import { altName, der, dns, leaf, type Made, pem, root } from '../identity/x509-maker.ts'
import {
  skipWithoutRedis as skip,
  startCluster,
  startRedis,
  startSentinel,
  until,
} from '../support/redis.ts'
import { now, startBroker, startVerifier, untilSpending } from './redis-setup.ts'

const times = { notBefore: now() - 600, notAfter: now() + 3600 }
const LOOPBACK = der(0x87, Buffer.from([127, 0, 0, 1]))
const authority = root({ ...times, subject: 'own authority' })
const certificate = (issuer: Made, ...names: Buffer[]): Made =>
  leaf(issuer, { ...times, extensions: { subjectAltName: altName(names) } })
const keyPem = ({ keys }: Made): string =>
  keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()

const folder = mkdtempSync(join(tmpdir(), 'writ-redis-tls-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const client = certificate(authority, dns('broker.example'))
const ca = pem(authority)
const own = { ca, cert: pem(client), key: keyPem(client) }
/** Redis asks for client certificates unless it is told otherwise. */
const server = (name: string, ...names: Buffer[]) => ({
  args: serverArgs(name, certificate(authority, ...names)),
  client: { ...own, servername: 'localhost' },
})

function serverArgs(name: string, made: Made): string[] {
  const write = (file: string, text: string): string => {
    writeFileSync(join(folder, file), text, { mode: 0o600 })
    return join(folder, file)
  }
  const files = [
    ['--tls-cert-file', write(`${name}.pem`, pem(made))],
    ['--tls-key-file', write(`${name}.key`, keyPem(made))],
    ['--tls-ca-cert-file', write('ca.pem', ca)],
  ]
  return files.flat()
}

const quick = { clockToleranceSeconds: 0, commandTimeoutMs: 1000 } as const
const DURABLE = ['--appendonly', 'yes']

describe('Redis over TLS', { skip }, () => {
  const both = server('both', dns('localhost'), LOOPBACK)

  async function spendsOn(place: Place & { replicas?: number }): Promise<void> {
    const broker = await startBroker(place)
    const verifier = await startVerifier(place, broker.key)
    try {
      await untilSpending(broker.ledger)
      await untilSpending(verifier.ledger)
    } finally {
      await verifier.close()
      await broker.close()
    }
  }

  it('spends and feed go over it on one server, and anything less is refused', async (t) => {
    const named = await startRedis(DURABLE, server('named', dns('localhost')))
    t.after(() => named.stop())
    const { port } = named
    const local = `rediss://localhost:${port}`
    await spendsOn({ url: local, tls: own })
    await spendsOn({ url: `redis://localhost:${port}`, tls: own })
    const other = root({ ...times, subject: 'another authority' })
    const stranger = certificate(other, dns('broker.example'))
    const cases: readonly [what: string, options: Partial<RedisLedgerOptions>, says: RegExp][] = [
      [
        'another authority',
        { url: local, tls: { ...own, ca: pem(other) } },
        /unable to verify|self.signed/,
      ],
      ['the authorities of the system', { url: local, tls: {} }, /unable to verify|self.signed/],
      [
        'another name',
        { url: `rediss://127.0.0.1:${port}`, tls: own },
        /does not match certificate/,
      ],
      ['no client certificate', { url: local, tls: { ca } }, /may not be used/],
      [
        'a client certificate of another authority',
        { url: local, tls: { ca, cert: pem(stranger), key: keyPem(stranger) } },
        /may not be used/,
      ],
      ['no TLS', { url: `redis://localhost:${port}` }, /may not be used/],
    ]
    for (const [what, options, says] of cases) {
      const ledger = redisLedger({ role: 'broker', ...quick, ...options })
      await assert.rejects(ledger.open(), says, what)
      await ledger.close()
    }
  })

  it('to the Sentinels and to the server they name, when only `tls` of the place says so', async (t) => {
    const setup = await startSentinel(1, both)
    t.after(() => setup.stop())
    const { name, sentinels } = setup
    await spendsOn({ sentinel: { name, sentinels }, tls: own, replicas: 1 })
    for (const tls of [undefined, { ca }]) {
      const ledger = redisLedger({
        sentinel: { name, sentinels },
        replicas: 1,
        role: 'broker',
        ...(tls && { tls }),
      })
      await assert.rejects(ledger.open(), /may not be used/)
      await ledger.close()
    }
  })

  it('to every server of a Cluster', async (t) => {
    const setup = await startCluster(both)
    t.after(() => setup.stop())
    await spendsOn({ cluster: { nodes: setup.nodes }, tls: own, replicas: 1 })
  })
})

describe('a URL of Redis', () => {
  const read: readonly [url: string, address: object, credentials: object][] = [
    ['redis://h', { host: 'h', port: 6379, db: 0 }, {}],
    ['rediss://h:1/2', { host: 'h', port: 1, db: 2 }, { tls: {} }],
    ['REDISS://h', { host: 'h', port: 6379, db: 0 }, { tls: {} }],
    ['redis://:p%40@[::1]', { host: '::1', port: 6379, db: 0 }, { password: 'p@' }],
    ['rediss://u@h', { host: 'h', port: 6379, db: 0 }, { username: 'u', tls: {} }],
  ]
  for (const [url, address, credentials] of read) {
    it(`${url} says which server, as whom, and whether over TLS`, () => {
      const [to, as] = parseRedisUrl(url, {})
      assert.deepEqual(to, address)
      assert.deepEqual(JSON.parse(JSON.stringify(as)), credentials)
    })
  }

  it('leaves out what is given besides, which then counts', () => {
    const given = { username: 'given', password: 'secret', tls: { ca } }
    assert.deepEqual(parseRedisUrl('rediss://h', given)[1], given)
    assert.deepEqual(parseRedisUrl('rediss://u:w@h', given)[1], {
      ...given,
      username: 'u',
      password: 'w',
    })
  })

  const refused = [
    'h:6379',
    'http://h',
    '/run/redis.sock',
    'redis:///1',
    'redis://h/x',
    'redis://u:secret@h?tls=no',
    'redis://u:secret@h?enableOfflineQueue=true',
    'redis://u:secret@h#x',
    'redis://u:secret@h?',
    'redis://u:secret%@h',
  ]
  for (const url of refused) {
    it(`${url} is refused without being quoted`, () => {
      assert.throws(
        () => redisLedger({ role: 'broker', url }),
        (error: Error) => error instanceof TypeError && !error.message.includes('secret'),
      )
    })
  }

  for (const [url, name] of [
    ['rediss://u:secret@127.0.0.1', ''],
    ['REDISS://u:secret@127.0.0.1', ''],
    ['rediss://u:secret@localhost', 'localhost'],
  ] as const) {
    it(`${url} never begins in the clear, and names the server that is meant`, async (t) => {
      const heard: Buffer[] = []
      const listener = createServer((socket) => {
        socket.on('error', () => undefined)
        socket.on('data', (data) => {
          heard.push(data)
          socket.destroy()
        })
      })
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
      t.after(() => listener.close())
      const ledger = redisLedger({
        role: 'broker',
        url: `${url}:${(listener.address() as AddressInfo).port}`,
      })
      await assert.rejects(ledger.open())
      await ledger.close()
      await until(() => heard.length > 0)
      assert.equal(heard[0]?.[0], 0x16, 'a TLS handshake')
      assert.ok(heard[0]?.includes(name))
    })
  }
})
