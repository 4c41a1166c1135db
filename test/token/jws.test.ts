import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import { schemeOf } from '../../src/token/algorithm.ts'
import { derFromJws, jwsFromDer } from '../../src/token/ecdsa.ts'
import {
  type Algorithm,
  JwsError,
  parseJws,
  type SigningKey,
  signJws,
  type VerificationKey,
  verifyJws,
} from '../../src/token/jws.ts'

interface Pair {
  readonly signing: SigningKey
  readonly verifying: VerificationKey
}

function pairOf(
  algorithm: Algorithm,
  { privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject },
): Pair {
  return {
    signing: { kid: 'k', algorithm, key: privateKey, publicJwk: {} },
    verifying: { kid: 'k', algorithm, key: publicKey },
  }
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ed = generateKeyPairSync('ed25519')
const PAIRS: readonly Pair[] = [
  pairOf('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  pairOf('ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })),
  pairOf('ES512', generateKeyPairSync('ec', { namedCurve: 'P-521' })),
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const).map((a) => pairOf(a, rsa)),
  pairOf('Ed25519', ed),
  pairOf('EdDSA', ed),
]
const { signing: es256, verifying: es256Public } = PAIRS[0]!

const segment = (value: string) => Buffer.from(value).toString('base64url')
const good = signJws({ typ: 'x' }, { a: 1 }, es256)
const [goodHeader, goodPayload, goodSignature] = good.split('.') as [string, string, string]

function errorOf(read: () => unknown): JwsError {
  try {
    read()
  } catch (error) {
    assert.ok(error instanceof JwsError, `threw ${error}`)
    return error
  }
  return assert.fail('was accepted')
}

for (const { signing, verifying } of PAIRS) {
  test(`${signing.algorithm}: what was signed verifies, anything else does not`, () => {
    // Several rounds, because the length of an ECDSA number varies.
    for (let round = 0; round < (schemeOf(signing.algorithm).kind === 'ecdsa' ? 300 : 3); round++) {
      const jws = parseJws(signJws({ typ: 'x' }, { round }, signing))
      assert.deepEqual(jws.header, { typ: 'x', alg: signing.algorithm, kid: 'k' })
      assert.equal(verifyJws(jws, verifying), true)
      assert.equal(verifyJws({ ...jws, signingInput: `${jws.signingInput}A` }, verifying), false)
      const bent = Buffer.from(jws.signature)
      bent[round % bent.length]! ^= 1
      assert.equal(verifyJws({ ...jws, signature: bent }, verifying), false)
      const { length } = jws.signature
      for (const signature of [
        jws.signature.subarray(0, length - 1),
        Buffer.concat([jws.signature, Buffer.alloc(1)]),
        Buffer.concat([Buffer.alloc(1), jws.signature]),
        Buffer.alloc(length),
        Buffer.alloc(0),
      ]) {
        assert.equal(verifyJws({ ...jws, signature }, verifying), false)
      }
    }
  })
}

test('a key verifies its own algorithm and no other', () => {
  for (const { signing } of PAIRS) {
    const jws = parseJws(signJws({}, {}, signing))
    for (const { verifying } of PAIRS) {
      const same =
        verifying.algorithm === signing.algorithm ||
        [verifying.algorithm, signing.algorithm].every((name) => name.startsWith('Ed'))
      assert.equal(verifyJws(jws, verifying), same, `${signing.algorithm}, ${verifying.algorithm}`)
    }
  }
})

test('a header that names another algorithm than the key’s is refused, however it was signed', () => {
  const { signing, verifying } = PAIRS.find(({ signing }) => signing.algorithm === 'RS384')!
  const header = segment(JSON.stringify({ alg: 'RS256' }))
  const signingInput = `${header}.${goodPayload}`
  const signature = sign('sha384', Buffer.from(signingInput), signing.key)
  const jws = { ...parseJws(`${signingInput}.${goodSignature}`), signature }
  assert.equal(verifyJws(jws, verifying), false)
  assert.equal(verifyJws({ ...jws, header: { alg: 'RS384' } }, verifying), true)
  for (const alg of [undefined, null, 384]) {
    assert.equal(verifyJws({ ...jws, header: { alg: alg as unknown as string } }, verifying), false)
  }
})

test('the caller of signJws cannot choose alg or kid', () => {
  const { header } = parseJws(signJws({ alg: 'none', kid: 'other' }, {}, es256))
  assert.deepEqual(header, { alg: 'ES256', kid: 'k' })
})

test('both halves of an ECDSA signature must be from 1 to the order minus 1', () => {
  const jws = parseJws(good)
  for (const { signing } of PAIRS) {
    const scheme = schemeOf(signing.algorithm)
    if (scheme.kind !== 'ecdsa') continue
    const { curve } = scheme
    const one = Buffer.alloc(curve.bytes)
    one[curve.bytes - 1] = 1
    const largest = Buffer.from(curve.order)
    largest[curve.bytes - 1]! -= 1
    const above = Buffer.from(curve.order)
    above[curve.bytes - 1]! += 1
    for (const fine of [one, largest]) {
      for (const [r, s] of [
        [fine, one],
        [one, fine],
      ] as const) {
        const der = derFromJws(Buffer.concat([r, s]), curve)
        assert.ok(der !== undefined)
        assert.deepEqual(jwsFromDer(der, curve), Buffer.concat([r, s]))
      }
    }
    for (const wrong of [
      Buffer.alloc(curve.bytes),
      curve.order,
      above,
      Buffer.alloc(curve.bytes, 255),
    ]) {
      assert.equal(derFromJws(Buffer.concat([wrong, one]), curve), undefined)
      assert.equal(derFromJws(Buffer.concat([one, wrong]), curve), undefined)
    }
    for (const length of [0, 1, curve.bytes, 2 * curve.bytes - 1, 2 * curve.bytes + 1]) {
      assert.equal(derFromJws(Buffer.alloc(length, 1), curve), undefined)
    }
  }
  const zero = Buffer.alloc(64)
  assert.equal(verifyJws({ ...jws, signature: zero }, es256Public), false)
})

test('a DER signature in place of r and s is refused', () => {
  const jws = parseJws(good)
  const signature = sign('sha256', Buffer.from(jws.signingInput), es256.key)
  assert.equal(verifyJws({ ...jws, signature }, es256Public), false)
})

test('s and n - s both verify: a signature is no identity, so nothing is keyed by it', () => {
  const jws = parseJws(good)
  const scheme = schemeOf('ES256')
  assert.ok(scheme.kind === 'ecdsa')
  const number = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`)
  const other = number(scheme.curve.order) - number(jws.signature.subarray(32))
  const signature = Buffer.concat([
    jws.signature.subarray(0, 32),
    Buffer.from(other.toString(16).padStart(64, '0'), 'hex'),
  ])
  assert.equal(verifyJws({ ...jws, signature }, es256Public), true)
})

const OTHER_SPELLINGS: readonly (readonly [string, string])[] = [
  ['padding after the header', `${goodHeader}=.${goodPayload}.${goodSignature}`],
  ['padding after the payload', `${goodHeader}.${goodPayload}==.${goodSignature}`],
  ['padding after the signature', `${good}==`],
  ['a leading space', ` ${good}`],
  ['a trailing space', `${good} `],
  ['a trailing newline', `${good}\n`],
  ['a carriage return inside', `${goodHeader}.${goodPayload}\r.${goodSignature}`],
  [
    'a tab inside a segment',
    `${goodHeader}.${goodPayload.slice(0, 3)}\t${goodPayload.slice(3)}.${goodSignature}`,
  ],
  ['a foreign character', `${good}*`],
  ['unused trailing bits', `${good.slice(0, -1)}${nextLetter(good.at(-1)!)}`],
  ['a zero byte', `${good}\0`],
]

function nextLetter(letter: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return letters[letters.indexOf(letter) + 1]!
}

for (const [name, text] of OTHER_SPELLINGS) {
  test(`of all spellings of one token only the canonical one is read: ${name}`, () => {
    assert.equal(errorOf(() => parseJws(text)).check, 'form')
  })
}

test('plus and slash are another alphabet', () => {
  const text = `${goodHeader}.${goodPayload}.${Buffer.alloc(64, 0xfb).toString('base64').replace(/=+$/, '')}`
  assert.match(text, /\+/)
  assert.equal(errorOf(() => parseJws(text)).check, 'form')
})

const withHeader = (header: string) => `${segment(header)}.${goodPayload}.${goodSignature}`
const withPayload = (payload: string) => `${goodHeader}.${segment(payload)}.${goodSignature}`

const MALFORMED: readonly (readonly [string, unknown])[] = [
  ['nothing', ''],
  ['one segment', goodHeader],
  ['two segments', `${goodHeader}.${goodPayload}`],
  ['four segments', `${good}.`],
  ['five segments', `${good}.a.b`],
  ['no header', `.${goodPayload}.${goodSignature}`],
  [
    'the JSON form',
    JSON.stringify({ protected: goodHeader, payload: goodPayload, signature: goodSignature }),
  ],
  ['not a string', 7],
  ['undefined', undefined],
  ['a header that is an array', withHeader('["ES256"]')],
  ['a header that is null', withHeader('null')],
  ['a header with two alg', withHeader('{"alg":"ES256","alg":"ES256"}')],
  ['a header with text after it', withHeader('{"alg":"ES256"} x')],
  ['a header with a byte order mark', withHeader('\ufeff{"alg":"ES256"}')],
  [
    'a header that is not UTF-8',
    `${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.${goodPayload}.`,
  ],
  ['a payload that is text', withPayload('foo')],
  ['a payload that is a number', withPayload('1')],
  ['an empty payload', `${goodHeader}..${goodSignature}`],
  ['a payload with two members of one name', withPayload('{"a":1,"a":2}')],
  ['a payload with a number that loses digits', withPayload('{"a":9007199254740993}')],
  ['a payload deeper than 32', withPayload(`{"a":${'['.repeat(40)}${']'.repeat(40)}}`)],
  ['crit', withHeader('{"alg":"ES256","crit":["exp"],"exp":1}')],
  ['an empty crit', withHeader('{"alg":"ES256","crit":[]}')],
  ['b64', withHeader('{"alg":"ES256","b64":false}')],
  ['b64 true', withHeader('{"alg":"ES256","b64":true}')],
  ['zip', withHeader('{"alg":"ES256","zip":"DEF"}')],
  ['enc', withHeader('{"alg":"ES256","enc":"A256GCM"}')],
  ['jku', withHeader('{"alg":"ES256","jku":"https://evil.example/keys"}')],
  ['x5u', withHeader('{"alg":"ES256","x5u":"https://evil.example/cert"}')],
  ['x5c', withHeader('{"alg":"ES256","x5c":["MIIB"]}')],
]

for (const [name, text] of MALFORMED) {
  test(`malformed: ${name}`, () => {
    assert.equal(errorOf(() => parseJws(text as string)).check, 'form')
  })
}

for (const alg of [
  'none',
  'NONE',
  'HS256',
  'HS512',
  'es256',
  'ES256K',
  'RSA-OAEP',
  '',
  ' ES256',
  '__proto__',
  'constructor',
]) {
  test(`algorithm: ${JSON.stringify(alg)} is not accepted`, () => {
    assert.equal(errorOf(() => parseJws(withHeader(JSON.stringify({ alg })))).check, 'algorithm')
  })
}

for (const header of ['{}', '{"alg":null}', '{"alg":["ES256"]}', '{"Alg":"ES256"}']) {
  test(`algorithm: the header ${header} has none`, () => {
    assert.equal(errorOf(() => parseJws(withHeader(header))).check, 'algorithm')
  })
}

test('a text is refused by its length before anything is decoded', () => {
  assert.equal(parseJws(good, { maxBytes: good.length }).header.typ, 'x')
  assert.equal(errorOf(() => parseJws(good, { maxBytes: good.length - 1 })).check, 'form')
  const large = signJws({}, { a: 'x'.repeat(16 * 1024) }, es256)
  assert.equal(errorOf(() => parseJws(large)).check, 'form')
})

test('an error never holds the text it is about', () => {
  const secret = 'c2VjcmV0LXRva2Vu'
  for (const text of [secret, `${secret}.${secret}.${secret}`, withPayload(`"${secret}`)]) {
    assert.doesNotMatch(errorOf(() => parseJws(text)).message, /c2Vj|secret/)
  }
})

test('whatever text arrives, it is read or refused with a JwsError', () => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .tuple(fc.json(), fc.json(), fc.uint8Array())
      .map(([header, payload, signature]) =>
        [segment(header), segment(payload), Buffer.from(signature).toString('base64url')].join('.'),
      ),
    fc
      .tuple(fc.nat(good.length - 1), fc.string({ maxLength: 2 }))
      .map(([at, text]) => good.slice(0, at) + text + good.slice(at + 1)),
  )
  fc.assert(
    fc.property(anything, (text) => {
      try {
        const jws = parseJws(text)
        // Read means canonical: the parts spell the text again. Verified means signed: it is `good`.
        const [header, payload] = [
          jws.headerSegment,
          jws.signingInput.slice(jws.headerSegment.length + 1),
        ]
        assert.equal([header, payload, jws.signature.toString('base64url')].join('.'), text)
        if (verifyJws(jws, es256Public)) assert.equal(text, good)
      } catch (error) {
        if (!(error instanceof JwsError)) throw error
      }
    }),
    { numRuns: 2000 },
  )
})
