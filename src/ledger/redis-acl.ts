/**
 * The rights a Redis user needs, and no more, as an `ACL SETUSER` command (Redis ≥ 7.0, Valkey).
 *
 * A verifier's user can make a mark of its own resource and can neither change nor remove one. Redis
 * rights know commands and keys but not options, so `SET … NX` cannot be permitted without plain
 * `SET`. `RENAMENX` can: it moves a key only to a name that is free, it takes the expiry along, and
 * it needs the right to read *and* write where it moves from. So a verifier prepares a mark among its
 * drafts, where it may do anything, and moves it among the spends, where it may only write, and
 * where no command that it is permitted can touch what is there.
 */
import { checkPrefix, FEED_TAG, keyNames } from './redis-keys.ts'

export interface RedisAclOptions {
  readonly role: 'broker' | 'verifier'
  /** The MCP server's resource URI; for verifiers. */
  readonly resource?: string | undefined
  readonly user: string
  readonly prefix?: string | undefined
}

const BOTH = ['+ping', '+auth', '+hello', '+info', '+time', '+wait', '+cluster|slots']

/**
 * The words of the command, without a password: add one (`>password`, or `#` and its SHA-256), or
 * nobody can sign in as this user.
 *
 * @throws {TypeError} a user name or prefix of another form, or a verifier without a resource
 */
export function redisAcl(options: RedisAclOptions): string[] {
  const { role, resource, user, prefix = 'writ' } = options
  checkPrefix(prefix)
  if (!/^[\w.@-]{1,64}$/.test(user)) {
    throw new TypeError('user must be 1 to 64 letters, digits, dots, dashes, underscores or @')
  }
  const start = ['ACL', 'SETUSER', user, 'reset', 'on', ...BOTH]
  if (role === 'broker') {
    const commands = ['set', 'get', 'renamenx', 'unlink', 'eval', 'incr', 'hset', 'hexists']
    const feed = ['hdel', 'hscan', 'hgetall', 'xadd', 'xread', 'xrevrange']
    const lists = ['zadd', 'zrem', 'zrange', 'zremrangebyrank', 'zremrangebyscore', 'pexpireat']
    const all = [...commands, ...feed, ...lists]
    return [...start, `~${prefix}:*`, ...all.map((name) => `+${name}`)]
  }
  if (resource === undefined) throw new TypeError('a verifier needs its resource')
  const names = keyNames(prefix, resource)
  const any = (key: string): string => key.slice(0, key.indexOf('{')).concat('*')
  const drafts = any(names.draft('', ''))
  const spends = any(names.spent(''))
  const uses = any(names.use('', 0))
  const feed = `${prefix}:f:{${FEED_TAG}}:*`
  return [
    ...start,
    `(+set +unlink ~${drafts})`,
    `(+renamenx ~${drafts} %W~${spends} %W~${uses})`,
    `(+get %R~${spends} %R~${any(names.guard(''))} %R~${feed})`,
    `(+xread +xrevrange +hgetall %R~${feed})`,
  ]
}
