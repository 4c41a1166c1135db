/** What a verifier's Redis user may do, tried on a real server. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Redis } from 'ioredis'
import { redisLedger } from '../../src/ledger/redis.ts'
import { redisAcl } from '../../src/ledger/redis-acl.ts'
import { keyNames, shortHash } from '../../src/ledger/redis-keys.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { type RefusedText, Revocations } from '../../src/revocation/revocations.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { type RedisServer, skipWithoutRedis as skip, startRedis, until } from '../support/redis.ts'
import { isRefusal } from './contract.ts'
import { type Broker, issuer, now, resource, startBroker, untilSpending } from './redis-setup.ts'
import { actionOf, updateOf } from './session-updates.ts'

const other = 'https://other.example/mcp'
const mine = keyNames('writ', resource)
const theirs = keyNames('writ', other)
const tag = shortHash('token-1')
const spent = mine.spent(tag)
const use = mine.use(tag, 1)
const draft = mine.draft(tag, 'x')
const live = mine.feed('live')
const log = mine.feed('log')
const beats = mine.feed('beats')
const guard = 'writ:g:{feed}'
const person = mine.document('person', 'ann')
const forgedKey = makeSigningKey('forged')

describe('a Redis user with the rights that writ prints', { skip }, () => {
  let server: RedisServer
  let broker: Broker
  let user: Redis
  const asVerifier = { username: 'verifier', password: 'pw-v' }
  const asBroker = { username: 'broker', password: 'pw-b' }

  async function makeUser(words: readonly string[], password: string): Promise<void> {
    const [command, ...rest] = words as [string, ...string[]]
    await server.admin.call(command, ...rest, `>${password}`)
  }

  before(async () => {
    server = await startRedis()
    await makeUser(redisAcl({ role: 'verifier', resource, user: 'verifier' }), 'pw-v')
    await makeUser(redisAcl({ role: 'verifier', resource: other, user: 'neighbour' }), 'pw-n')
    await makeUser(redisAcl({ role: 'broker', user: 'broker' }), 'pw-b')
    broker = await startBroker({ url: server.url, ...asBroker })
    user = new Redis({
      host: server.host,
      port: server.port,
      ...asVerifier,
      enableReadyCheck: false,
      disableClientInfo: true,
      protocol: 2,
    })
  })
  after(async () => {
    user?.disconnect()
    await broker?.close()
    await server?.stop()
  })

  it('is enough for a broker, and for a verifier to spend and to hear', async () => {
    const id = 'token-1'
    const place = { url: server.url, ...asVerifier }
    const ledger = redisLedger({ ...place, role: 'verifier', resource })
    await ledger.open()
    const revocations = new Revocations({
      keys: keySourceOf(broker.key),
      issuer,
      transport: ledger.feed as FeedTransport,
    })
    await revocations.start()
    await untilSpending(ledger)
    assert.equal(await ledger.spend(id, now() + 60), true)
    assert.equal(await ledger.spend(id, now() + 60), false)
    assert.equal(await ledger.isSpent(id), true)
    assert.equal(await broker.ledger.isSpent(id, resource), true, 'brokers read what is spent')
    assert.equal(await broker.ledger.isSpent(id, other), false)
    assert.equal(await broker.ledger.isSpent(id), false)
    assert.equal(await ledger.use('u', 2, 'proof-1', now() + 60), true)
    assert.equal(
      await broker.ledger.spend(id, now() + 60),
      true,
      'brokers have a space of their own',
    )
    assert.equal(await broker.ledger.bind('svid', 'key', now() + 60), 'key')
    assert.equal(await broker.ledger.use('u', 1, 'proof-1', now() + 60), true)
    await broker.publisher.revoke({ target: { kind: 'jti', value: 'j' }, reason: '', by: '' })
    await until(() => revocations.list().length === 1)
    await revocations.close()
    await ledger.close()
    await until(async () => (await server.admin.keys('writ:t:*')).length === 0)
  })

  it('a broker needs every command for its documents and sessions', async () => {
    const { documents, sessions } = broker.ledger
    async function tour(): Promise<void> {
      const at = now()
      await documents?.put('a', 'a', {}, { expiresAt: at + 60, group: 'g' })
      await documents?.take('a', 'a')
      await documents?.list('a', { limit: 1 })
      await sessions?.apply(`tour-${at}`, 1, [updateOf('s', { actions: [actionOf(at)] })])
      await sessions?.get('s')
      await sessions?.list({ limit: 1 })
    }
    await tour()
    for (const command of [
      ...['eval', 'get', 'set', 'unlink', 'zadd', 'zrem', 'zrange'],
      ...['zremrangebyrank', 'zremrangebyscore', 'pexpireat', 'time'],
    ]) {
      await server.admin.call('ACL', 'SETUSER', 'broker', `-${command}`)
      await assert.rejects(tour(), isRefusal('ledger_unavailable'), command)
      await server.admin.call('ACL', 'SETUSER', 'broker', `+${command}`)
      await until(() => tour().then(() => true))
    }
  })

  it('a mark is kept until expiry and skew, and no longer', async () => {
    const ttl = await server.admin.ttl(spent)
    assert.ok(ttl > 60 && ttl <= 71, `${ttl} s`)
  })

  const attacks: readonly (readonly [string, ...string[]])[] = [
    // remove a spend, shorten its life, overwrite it, move it away
    ['DEL', spent],
    ['UNLINK', spent],
    ['GETDEL', spent],
    ['GETEX', spent, 'PX', '1'],
    ['EXPIRE', spent, '0'],
    ['PEXPIREAT', spent, '1'],
    ['PERSIST', spent],
    ['SET', spent, 'x', 'PX', '1'],
    ['SET', spent, 'x', 'NX', 'EX', '60'],
    ['SETEX', spent, '1', 'x'],
    ['GETSET', spent, 'x'],
    ['APPEND', spent, 'x'],
    ['RENAME', spent, draft],
    ['RENAME', draft, spent],
    ['RENAMENX', spent, draft],
    ['RENAMENX', spent, mine.spent('other')],
    ['RENAMENX', use, draft],
    ['UNLINK', use],
    ['COPY', draft, spent, 'REPLACE'],
    ['RESTORE', spent, '1', 'x', 'REPLACE'],
    ['MIGRATE', '127.0.0.1', '1', spent, '0', '1'],
    ['MOVE', spent, '1'],
    ['SORT', draft, 'STORE', spent],
    ['BITOP', 'AND', spent, draft],
    ['FLUSHDB'],
    ['FLUSHALL'],
    ['SWAPDB', '0', '1'],
    ['SELECT', '1'],
    // run something with other rights, or change rights
    ['EVAL', 'return redis.call("DEL", KEYS[1])', '1', spent],
    ['EVALSHA', 'a'.repeat(40), '1', spent],
    ['FCALL', 'f', '1', spent],
    ['SCRIPT', 'LOAD', 'return 1'],
    ['FUNCTION', 'FLUSH'],
    ['MULTI'],
    ['ACL', 'SETUSER', 'verifier', '+@all'],
    ['CONFIG', 'SET', 'maxmemory', '1mb'],
    ['DEBUG', 'RELOAD'],
    ['SHUTDOWN', 'NOSAVE'],
    ['REPLICAOF', '127.0.0.1', '1'],
    ['CLIENT', 'KILL', 'TYPE', 'normal'],
    ['CLIENT', 'PAUSE', '100000'],
    ['CLUSTER', 'RESET'],
    // write the feed, or speak as a broker
    ['XADD', log, '*', 't', 'x'],
    ['XADD', beats, '*', 't', 'x'],
    ['XDEL', log, '0-1'],
    ['XTRIM', beats, 'MAXLEN', '0'],
    ['HSET', live, 'a', '0 x'],
    ['HDEL', live, 'a'],
    ['DEL', live],
    ['SET', mine.feed('count'), '0'],
    ['SET', guard, 'x'],
    ['RENAMENX', draft, 'writ:f:{feed}:x'],
    ['RENAMENX', draft, guard],
    ['PUBLISH', 'x', 'y'],
    ['SUBSCRIBE', 'x'],
    // another resource, and the broker's own
    ['GET', theirs.spent(tag)],
    ['SET', theirs.draft(tag, 'x'), 'x'],
    ['UNLINK', theirs.draft(tag, 'x')],
    ['RENAMENX', draft, theirs.spent(tag)],
    ['RENAMENX', theirs.draft(tag, 'x'), spent],
    ['GET', mine.broker('p', tag)],
    ['SET', mine.broker('p', tag), 'x'],
    ['RENAMENX', draft, mine.broker('p', tag)],
    // read, make or change documents and sessions
    ['GET', person],
    ['SET', person, 'x'],
    ['UNLINK', person],
    ['RENAMENX', draft, person],
    ['ZRANGE', 'writ:d:{person}:all', '0', '-1'],
    ['ZADD', 'writ:d:{person}:all', '0', 'x'],
    ['GET', mine.session(tag)],
    ['SET', mine.session(tag), 'x'],
    ['RENAMENX', draft, mine.session(tag)],
    ['ZRANGE', mine.actions(tag), '0', '-1'],
    ['ZRANGE', mine.seen(), '0', '-1'],
    ['ZREM', mine.seen(), 'x'],
    // look around
    ['KEYS', '*'],
    ['SCAN', '0'],
    ['MONITOR'],
    ['DUMP', spent],
    ['RANDOMKEY'],
    ['CONFIG', 'GET', '*'],
  ]
  for (const attack of attacks) {
    it(`may not ${attack.join(' ').slice(0, 90)}`, async () => {
      await server.admin.set(draft, 'x')
      const value = await server.admin.get(spent)
      const [command, ...args] = attack
      await assert.rejects(user.call(command, ...args), /NOPERM|DEBUG command not allowed/)
      assert.equal(await server.admin.get(spent), value)
    })
  }

  it('no command that it is permitted to run on a spend changes one', async () => {
    const listed = (await server.admin.call('COMMAND', 'LIST')) as string[]
    const permitted: string[] = []
    for (const command of listed.filter((name) => !name.includes('|'))) {
      // With the spend as the key in every place where a command can have one.
      for (const args of [
        [spent],
        [spent, 'x'],
        [draft, spent],
        [spent, draft],
        [spent, '1', 'x'],
      ]) {
        const answer = await server.admin
          .call('ACL', 'DRYRUN', 'verifier', command, ...args)
          .catch((error: Error) => error.message)
        if (answer === 'OK')
          permitted.push([command, ...args.map((arg) => (arg === spent ? 'SPENT' : 'x'))].join(' '))
      }
    }
    const keyless = /^(auth|hello|info|ping|time|wait|reset|quit)\b/
    const onKeys = permitted.filter((line) => !keyless.test(line))
    // The last two do not name it as a key: a value to set, and a word that XREAD does not know.
    const harmless = ['get SPENT', 'renamenx x SPENT', 'set x SPENT', 'xread SPENT x x']
    assert.deepEqual(onKeys.sort(), harmless)
  })

  it('a mark in place cannot be replaced, nor its life changed, by what is permitted', async () => {
    const value = await server.admin.get(spent)
    const expiry = await server.admin.call('PEXPIRETIME', spent)
    await user.set(draft, 'mine', 'PX', 50)
    assert.equal(await user.renamenx(draft, spent), 0)
    assert.equal(await server.admin.get(spent), value)
    assert.equal(await server.admin.call('PEXPIRETIME', spent), expiry)
  })

  it('a forged entry, written by someone who may write the feed, is refused and reported', async () => {
    const refused: RefusedText[] = []
    const ledger = redisLedger({ url: server.url, role: 'verifier', resource, ...asVerifier })
    await ledger.open()
    const revocations = new Revocations({
      keys: keySourceOf(broker.key),
      issuer,
      transport: ledger.feed as FeedTransport,
      onRefused: (text) => refused.push(text),
    })
    await revocations.start()
    const attacker = redisLedger({ url: server.url, role: 'broker', clockToleranceSeconds: 0 })
    await attacker.open()
    const forger = new RevocationPublisher({
      issuer,
      key: () => ({ ...forgedKey, kid: broker.key.kid }),
      keys: keySourceOf(),
      transport: attacker.feed as FeedTransport,
    })
    await forger.revoke({ target: { kind: 'agent', value: 'a' }, reason: '', by: 'attacker' })
    await until(() => refused.some(({ kind }) => kind === 'entry'))
    assert.equal(
      revocations.list().some(({ by }) => by === 'attacker'),
      false,
    )
    await revocations.close()
    await ledger.close()
    await attacker.close()
  })

  it('words of another form are our caller’s mistake', () => {
    for (const bad of ['', 'a b', 'a>pw', 'a\n', 'x'.repeat(65)]) {
      assert.throws(() => redisAcl({ role: 'broker', user: bad }), TypeError)
    }
    assert.throws(() => redisAcl({ role: 'broker', user: 'a', prefix: '*' }), TypeError)
    assert.throws(() => redisAcl({ role: 'verifier', user: 'a' }), TypeError)
  })
})
