import assert from 'node:assert/strict'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { BodyError, parseForm, readBody, receiveForm, withBody } from '../../src/lib/form.ts'

const name = fc.stringMatching(/^[a-z_]{1,20}$/)
const value = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => text.isWellFormed())

test('whatever a form encoder writes is read back unchanged', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 20 }),
      (pairs) => {
        const text = new URLSearchParams(pairs).toString()
        assert.deepEqual([...parseForm(text)], pairs)
      },
    ),
  )
})

test('any text is either refused or read as URLSearchParams reads it', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z%=&+0-9 é\n]{0,40}$/), (text) => {
      let form: ReadonlyMap<string, string>
      try {
        form = parseForm(text)
      } catch (error) {
        assert.ok(error instanceof BodyError && error.fault === 'malformed')
        return
      }
      const lenient = [...new URLSearchParams(text)].filter(([, given]) => given !== '')
      assert.deepEqual([...form], lenient)
    }),
    { numRuns: 2_000 },
  )
})

test('a parameter without a value counts as not given', () => {
  assert.deepEqual([...parseForm('a=&b&c=1')], [['c', '1']])
})

const refused: [string, string, RegExp, string][] = [
  ['an empty parameter given twice', 'a=&a=', /^a is given twice$/, 'a'],
  ['a parameter given twice in two spellings', 'a=1&%61=1', /^a is given twice$/, 'a'],
  ['a byte order mark before a name', '%EF%BB%BFa=1', /name is malformed/, ''],
  ['a name that is long', `${'a'.repeat(101)}=1`, /name is malformed/, ''],
  ['no name', '=1', /name is malformed/, ''],
  ['nothing between two parameters', 'a=1&&b=1', /name is malformed/, ''],
  ['a byte that is no ASCII', 'a=\xe9', /must be percent-encoded/, ''],
  ['a line end', 'a=1\r\n', /must be percent-encoded/, ''],
  ['bytes that are no UTF-8', 'secret=%ff', /^secret is not/, 'secret'],
  ['half an escape', 'a=%4', /^a is not/, 'a'],
  ['65 parameters', formOf(65), /too many/, ''],
  ['a million of nothing', '&'.repeat(1e6), /name is malformed/, ''],
]
for (const [title, text, message, parameter] of refused) {
  test(`${title} is refused, and the parameter named`, () => {
    assert.throws(() => parseForm(text), {
      name: 'BodyError',
      fault: 'malformed',
      message,
      parameter,
    })
  })
}

test('sixty-four parameters are not too many', () => {
  assert.equal(parseForm(formOf(64)).size, 64)
})

test('no error repeats a value', () => {
  for (const text of ['password=hunter2&password=hunter2', 'password=hunter2%ff', 'hunter2!=1']) {
    assert.throws(
      () => parseForm(text),
      ({ message, parameter }: BodyError) => !`${message} ${parameter}`.includes('hunter2'),
    )
  }
})

/** A request as far as a body needs one; what is written to the stream is what comes. */
function requestOf(headers: IncomingHttpHeaders = {}) {
  const stream = new PassThrough()
  const type = 'application/x-www-form-urlencoded'
  const request = Object.assign(stream, {
    headers: { 'content-type': type, ...headers },
    complete: false,
  })
  stream.once('end', () => Object.assign(request, { complete: true }))
  return { stream, request: request as unknown as IncomingMessage }
}

const types: [string | undefined, boolean][] = [
  ['application/x-www-form-urlencoded', true],
  ['Application/X-WWW-Form-Urlencoded; charset=UTF-8', true],
  ['application/x-www-form-urlencoded;charset="utf-8"', true],
  ['application/x-www-form-urlencoded; charset=latin1', false],
  ['application/x-www-form-urlencodedx', false],
  ['application/json', false],
  ['multipart/form-data; boundary=application/x-www-form-urlencoded', false],
  [undefined, false],
]
for (const [type, taken] of types) {
  test(`a body of type ${type} is ${taken ? '' : 'not '}taken for a form`, async () => {
    const { stream, request } = requestOf({ 'content-type': type })
    stream.end('a=1')
    if (taken) assert.deepEqual([...(await receiveForm(request, 100)).form], [['a', '1']])
    else await assert.rejects(receiveForm(request, 100), { fault: 'malformed' })
  })
}

test('a body in pieces is read as one, up to its limit and no further', async () => {
  const within = requestOf()
  const reading = receiveForm(within.request, 7)
  for (const piece of ['a=', '1&b', '=2']) within.stream.write(piece)
  within.stream.end()
  const { form, bytes } = await reading
  assert.deepEqual([[...form.keys()], bytes.toString()], [['a', 'b'], 'a=1&b=2'])

  const beyond = requestOf()
  const refusing = assert.rejects(readBody(beyond.request, 7), { fault: 'too_large' })
  beyond.stream.write('a=1&b=2')
  beyond.stream.write('3')
  await refusing
  // Nothing more is taken, and the connection is there to be answered on.
  assert.deepEqual([beyond.stream.isPaused(), beyond.stream.destroyed], [true, false])
  assert.equal(beyond.stream.listenerCount('data'), 0)
})

test('a body that says to be too long, or compressed, is not read at all', async () => {
  for (const [headers, fault] of [
    [{ 'content-length': '8' }, 'too_large'],
    [{ 'content-encoding': 'gzip' }, 'malformed'],
    [{ 'content-encoding': '' }, 'malformed'],
  ] as const) {
    const { stream, request } = requestOf(headers)
    await assert.rejects(readBody(request, 7), { fault })
    assert.equal(stream.listenerCount('data'), 0)
  }
})

test('a body that is cut short is refused, while it is read and before', async () => {
  const reading = requestOf()
  const refusing = assert.rejects(readBody(reading.request, 100), { fault: 'malformed' })
  reading.stream.write('a=')
  reading.stream.destroy()
  await refusing
  const failing = requestOf()
  const failed = assert.rejects(readBody(failing.request, 100), { fault: 'malformed' })
  failing.stream.destroy(new Error('reset'))
  await failed
  await assert.rejects(readBody(reading.request, 100), { fault: 'malformed' })
})

test('a request with a body gives it to the next reader, and is otherwise itself', async () => {
  const { request } = requestOf({ 'x-a': 'b' })
  const again = withBody(request, Buffer.from('a=1'))
  const chunks: Buffer[] = []
  for await (const chunk of again.iterator()) chunks.push(chunk)
  assert.deepEqual([Buffer.concat(chunks).toString(), again.headers['x-a']], ['a=1', 'b'])
  assert.equal(again.readable, true)
})

function formOf(parameters: number): string {
  return Array.from({ length: parameters }, (_, i) => `p${i}=1`).join('&')
}
