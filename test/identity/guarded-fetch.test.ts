import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Lookup } from '../../src/identity/checked-lookup.ts'
import {
  GuardedFetchError,
  type GuardedFetchOptions,
  type GuardedRequest,
  guardedFetch,
} from '../../src/identity/guarded-fetch.ts'
import { CA_PEM, LEAF_DER, LOOPBACK, startSite } from './https-site.ts'
import { temporaryDirectory } from './svids.ts'

const SECRET = 'body-nobody-should-repeat'
const site = await startSite({ after }, (request, response) => {
  switch (request.url) {
    case '/json':
      return response.setHeader('x-seen', String(request.headers['accept-encoding'])).end('{"a":1}')
    case '/redirect':
      return response.writeHead(302, { location: `${site.origin}/json` }).end(SECRET)
    case '/large':
      return response.end('x'.repeat(2000))
    case '/endless': {
      const timer = setInterval(() => response.write('x'), 5)
      return response.on('close', () => clearInterval(timer))
    }
    case '/hang':
      return
    case '/gzip':
      return response.setHeader('content-encoding', 'gzip').end(gzipSync('{}'))
    case '/latin1':
      return response.end(Buffer.from([0x22, 0xe9, 0x22]))
    case '/echo':
      return request.pipe(response)
    default:
      return response.writeHead(404).end(SECRET)
  }
})
const directory = await temporaryDirectory({ after })

const OPTIONS = { ca: CA_PEM, allowAddresses: LOOPBACK }
async function get(path: string, options: GuardedFetchOptions = {}, init?: GuardedRequest) {
  const fetch = guardedFetch({ ...OPTIONS, ...options })
  try {
    return await fetch(path.startsWith('/') ? site.origin + path : path, init)
  } finally {
    await fetch.close()
  }
}
/** Answers each look-up with the next of the lists, and the last one for ever. */
function names(...answers: readonly (readonly string[])[]): Lookup & { asked: number } {
  const lookup = Object.assign(
    (_host: string, callback: Parameters<Lookup>[1]) => {
      const addresses = answers[Math.min(lookup.asked++, answers.length - 1)] ?? []
      const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
      callback(null, found)
    },
    { asked: 0 },
  )
  return lookup
}

test('an answer comes with its status, headers and text', async () => {
  const { status, headers, text } = await get('/json')
  assert.equal(status, 200)
  assert.equal(text, '{"a":1}')
  assert.equal(headers['x-seen'], 'identity')
  assert.equal((await get('/nothing')).status, 404)
})

test('connections are kept for those who ask for it only', async () => {
  const connections = async (keepAlive: boolean) => {
    const fetch = guardedFetch({ ...OPTIONS, keepAlive })
    const before = site.seen.connections
    for (let i = 0; i < 5; i++) await fetch(`${site.origin}/json`)
    await fetch.close()
    return site.seen.connections - before
  }
  assert.equal(await connections(false), 5)
  assert.ok((await connections(true)) < 5)
})

test('a body can be posted', async () => {
  const { text } = await get('/echo', {}, { method: 'POST', body: '{"b":2}' })
  assert.equal(text, '{"b":2}')
})

const FAILS: readonly (readonly [string, string, GuardedFetchOptions, RegExp])[] = [
  ['a redirect', '/redirect', {}, /it answered 302, a redirect$/],
  ['a body over the limit', '/large', { maxBytes: 1999 }, /longer than 1999 bytes$/],
  ['a body that never ends', '/endless', { timeoutMs: 300 }, /within 300 ms$/],
  ['an answer that never begins', '/hang', { timeoutMs: 300 }, /within 300 ms$/],
  ['an encoded body', '/gzip', {}, /the body is encoded$/],
  ['a body that is not UTF-8', '/latin1', {}, /not UTF-8$/],
  ['http', `http://127.0.0.1:${site.port}/json`, {}, /not https$/],
  ['user information', `https://u:p@127.0.0.1:${site.port}/json`, {}, /user information$/],
  ['no URL', 'https//x', {}, /no URL$/],
  ['an unknown authority', '/json', { ca: '' }, /connection failed \([A-Z_]+\)$/],
  [
    'a name that the certificate lacks',
    `https://evil.test:${site.port}/json`,
    { lookup: names(['127.0.0.1']) },
    /\(ERR_TLS_CERT_ALTNAME_INVALID\)$/,
  ],
  [
    'a name that does not resolve',
    `https://a.writ.test:${site.port}/json`,
    { lookup: names([]) },
    /\(ENOTFOUND\)$/,
  ],
  [
    'a name look-up that hangs',
    `https://a.writ.test:${site.port}/json`,
    { lookup: () => undefined, timeoutMs: 300 },
    /within 300 ms$/,
  ],
]
for (const [name, path, options, message] of FAILS) {
  test(`refused, with the reason: ${name}`, async () => {
    await assert.rejects(get(path, options), (error) => {
      assert.ok(error instanceof GuardedFetchError)
      assert.match(error.message, message)
      assert.ok(!error.message.includes(SECRET) && !error.message.includes('/json'))
      return true
    })
  })
}

test('a redirect is not followed', async () => {
  const before = site.seen.requests.length
  await assert.rejects(get('/redirect'))
  assert.deepEqual(site.seen.requests.slice(before), ['/redirect'])
})

test('a caller can give up', async () => {
  const aborted = AbortSignal.abort()
  await assert.rejects(get('/json', {}, { signal: aborted }), GuardedFetchError)
})

const HOSTS: readonly (readonly [string, Lookup | undefined])[] = [
  ['127.0.0.1', undefined],
  ['[::1]', undefined],
  ['[::ffff:127.0.0.1]', undefined],
  ['[64:ff9b::127.0.0.1]', undefined],
  ['localhost', undefined],
  ['2130706433', undefined],
  ['0x7f.1', undefined],
  ['a.writ.test', names(['127.0.0.1'])],
  ['a.writ.test', names(['93.184.215.14', '127.0.0.1'])],
  ['a.writ.test', names(['::ffff:127.0.0.1'])],
]
for (const [host, lookup] of HOSTS) {
  test(`no connection to a special-use address without leave: ${host}`, async () => {
    const before = site.seen.connections
    const options = { allowAddresses: [], ...(lookup === undefined ? {} : { lookup }) }
    await assert.rejects(get(`https://${host}:${site.port}/json`, options), /special.use/)
    assert.equal(site.seen.connections, before)
  })
}

test('leave is for the addresses it names', async () => {
  const url = `https://a.writ.test:${site.port}/json`
  const lookup = names(['127.0.0.1'])
  await assert.rejects(get(url, { lookup, allowAddresses: ['127.0.0.2', '10.0.0.0/8'] }), /special/)
  assert.equal((await get(url, { lookup, allowAddresses: ['127.0.0.0/8'] })).status, 200)
})

test('a name that changes its address between check and connection gains nothing', async () => {
  // The first answer may be connected to, every later one may not.
  const lookup = names(['127.0.0.1'], ['127.0.0.9'])
  const fetch = guardedFetch({ ...OPTIONS, lookup })
  const url = `https://a.writ.test:${site.port}/json`
  assert.equal((await fetch(url)).status, 200)
  assert.equal(lookup.asked, 1, 'one connection, one look-up')
  await assert.rejects(fetch(url), /special-use address/)
  assert.equal(lookup.asked, 2)
  await fetch.close()
})

test('another check of the peer replaces the authorities, before a byte is sent', async () => {
  const before = site.seen.requests.length
  const chains: (readonly Uint8Array[])[] = []
  const accept = { ca: '', verifyPeer: (chain: readonly Uint8Array[]) => void chains.push(chain) }
  assert.equal((await get('/json', accept)).status, 200)
  assert.deepEqual(Buffer.from(chains[0]?.[0] ?? []), LEAF_DER)
  const refuse = () => {
    throw new Error('not this one')
  }
  await assert.rejects(get('/json', { verifyPeer: refuse }), /its certificate was refused$/)
  assert.equal(site.seen.requests.length, before + 1)
})

test('a replaced CA file counts for the next connection', async () => {
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, '')
  const fetch = guardedFetch({ allowAddresses: LOOPBACK, caFile })
  await assert.rejects(fetch(`${site.origin}/json`), /connection failed/)
  await writeFile(`${caFile}.new`, CA_PEM)
  await rename(`${caFile}.new`, caFile)
  assert.equal((await fetch(`${site.origin}/json`)).status, 200)
  await fetch.close()
})

test('a mistake in the options is an error at once', () => {
  const bad = ['10.0.0.0/33', '10.0.0/8', 'localhost', '::1/129', '1.2.3.4/8/8', 'fe80::1%lo', '']
  for (const entry of bad) {
    assert.throws(() => guardedFetch({ allowAddresses: [entry] }), TypeError, entry)
  }
  assert.throws(() => guardedFetch({ caFile: join(directory, 'no.pem') }), /no\.pem cannot be read/)
})

test('no environment variable turns the check of certificates off', async () => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  try {
    await assert.rejects(get('/json', { ca: '' }), /connection failed/)
  } finally {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
  }
})
