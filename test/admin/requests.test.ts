import assert from 'node:assert/strict'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import Koa from 'koa'
import { createAdminApi } from '../../src/admin/api.ts'
import { PROBLEM_KINDS } from '../../src/admin/problem-kinds.ts'
import { Refusal } from '../../src/refusal.ts'
import { openRig } from './rig.ts'

const rig = await openRig()
after(() => rig.close())
const { call } = rig

const BODY = { targets: [{ kind: 'jti', value: 'a' }] }
const PREVIEW = '/v1/revocations/preview'

const STRICT: readonly (readonly [
  name: string,
  method: string,
  path: string,
  options: { body?: unknown; headers?: Record<string, string> },
  status: number,
  pointer: string | undefined,
])[] = [
  ['a parameter nobody knows', 'GET', '/v1/sessions?states=live', {}, 400, 'states'],
  ['a parameter twice', 'GET', '/v1/sessions?text=a&text=b', {}, 400, 'text'],
  ['a parameter where there is none', 'GET', '/v1/me?x=1', {}, 400, 'x'],
  ['__proto__ as a parameter', 'GET', '/v1/sessions?__proto__=1', {}, 400, '__proto__'],
  ['an empty parameter', 'GET', '/v1/sessions?task=', {}, 400, 'task'],
  ['another state', 'GET', '/v1/sessions?state=alive', {}, 400, 'state'],
  ['a limit of none', 'GET', '/v1/sessions?limit=0', {}, 400, 'limit'],
  ['a limit beyond the most', 'GET', '/v1/sessions?limit=201', {}, 400, 'limit'],
  ['a limit of another form', 'GET', '/v1/sessions?limit=1e1', {}, 400, 'limit'],
  ['a time of another form', 'GET', '/v1/sessions?since=yesterday', {}, 400, 'since'],
  ['a query without end', 'GET', `/v1/sessions?text=${'a'.repeat(9000)}`, {}, 400, ''],
  ['a member nobody knows', 'POST', PREVIEW, { body: { ...BODY, all: true } }, 400, '/all'],
  [
    '__proto__ as an argument',
    'POST',
    '/v1/policies/explain',
    { body: '{"workload":"a","server":"b","arguments":{"to":[{"__proto__":1}]}}' },
    400,
    '/arguments/to/0/__proto__',
  ],
  ['a member twice', 'POST', PREVIEW, { body: '{"targets":[],"targets":[]}' }, 400, ''],
  [
    'a name that is nobody’s',
    'POST',
    '/v1/people',
    { body: { name: 'a'.repeat(101), role: 'viewer' } },
    400,
    '/name',
  ],
  ['no JSON', 'POST', PREVIEW, { body: '{' }, 400, ''],
  ['no object', 'POST', PREVIEW, { body: '[]' }, 400, ''],
  ['no body', 'POST', PREVIEW, { headers: { 'content-type': 'application/json' } }, 400, ''],
  [
    'a form',
    'POST',
    PREVIEW,
    { body: 'targets=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    400,
    '',
  ],
  [
    'JSON of a type that any page may send',
    'POST',
    PREVIEW,
    { body: BODY, headers: { 'content-type': 'text/plain' } },
    400,
    '',
  ],
  [
    'a body that is encoded',
    'POST',
    PREVIEW,
    { body: BODY, headers: { 'content-encoding': 'gzip' } },
    400,
    '',
  ],
  [
    'a body that is too large',
    'POST',
    PREVIEW,
    { body: `"${'a'.repeat(262_144)}"` },
    413,
    undefined,
  ],
  ['a member of what may be left out', 'DELETE', '/v1/people/bob', { body: BODY }, 400, '/targets'],
  ['no such path', 'GET', '/v1/nothing', {}, 404, undefined],
  ['no such version', 'GET', '/v1', {}, 404, undefined],
  ['a slash at the end', 'GET', '/v1/sessions/', {}, 404, undefined],
  ['a path that cannot be read', 'GET', '/v1/sessions/%ff', {}, 404, undefined],
  ['another method', 'PUT', '/v1/sessions', {}, 405, undefined],
  ['another method of a path within', 'DELETE', '/v1/revocations/preview', {}, 405, undefined],
]

for (const [name, method, path, options, status, pointer] of STRICT) {
  test(`refused: ${name}`, async () => {
    const called = await call(method, path, options)
    assert.deepEqual([called.status, called.body.pointer], [status, pointer])
    assert.equal(called.headers.get('content-type'), 'application/problem+json')
    assert.equal(called.headers.get('cache-control'), 'no-store')
    assert.equal(called.headers.get('x-content-type-options'), 'nosniff')
    assert.equal(called.body.type, `https://admin.test/v1/problems/${called.body.code}`)
    const last = (await rig.recorded()).at(-1)
    assert.deepEqual(
      [last?.door, last?.outcome, last?.reason, last?.by],
      ['admin', 'refused', called.body.code, 'client:admin'],
    )
  })
}

test('a method that is not supported names those that are', async () => {
  const { headers } = await call('PUT', '/v1/revocations')
  assert.equal(headers.get('allow'), 'GET, POST')
})

test('a body where there is none is no request', async () => {
  const { port, hostname } = new URL(rig.url)
  const told = await new Promise<string>((resolve, reject) => {
    const headers = { authorization: 'Test admin', 'content-length': 2 }
    const sent = request({ port, hostname, path: '/v1/me', headers }, async (response) => {
      let text = ''
      for await (const chunk of response) text += chunk
      resolve(text)
    })
    sent.on('error', reject)
    sent.end('{}')
  })
  const { code, detail } = JSON.parse(told)
  assert.deepEqual([code, detail], ['request_invalid', 'a body means nothing here'])
})

test('a body that is sent in pieces is too large as well', async () => {
  const { port, hostname } = new URL(rig.url)
  const status = await new Promise((resolve, reject) => {
    const sent = request({ port, hostname, path: PREVIEW, method: 'POST' }, (response) => {
      resolve(response.statusCode)
      response.resume()
    })
    sent.setHeader('authorization', 'Test admin')
    sent.setHeader('content-type', 'application/json')
    sent.on('error', reject)
    for (let piece = 0; piece < 5; piece += 1) sent.write('a'.repeat(65_536))
    sent.end()
  })
  assert.equal(status, 413)
})

test('nobody is told that they have yet to sign in, whatever they ask', async () => {
  for (const path of ['/v1/sessions', '/v1/nothing', '/v1', '/v1/openapi.json', '/v1/events']) {
    const absent = await call('GET', path, { as: null })
    assert.deepEqual([absent.status, absent.body.code], [401, 'signin_required'], path)
    assert.match(absent.headers.get('www-authenticate') ?? '', /^DPoP algs="[^"]+"$/)
    const unknown = await call('GET', path, { as: 'stranger' })
    assert.match(unknown.headers.get('www-authenticate') ?? '', /error="invalid_token"/)
  }
  const last = (await rig.recorded()).at(-1)
  assert.deepEqual(
    [last?.reason, last?.by, last?.evidence],
    ['signin_required', undefined, { why: 'absent', request: 'GET /v1/events' }],
  )
})

test('what is not beneath /v1/ is for somebody else', async () => {
  const response = await fetch(`${rig.url}/v10`)
  assert.equal(response.status, 404)
  assert.equal(await response.text(), 'Not Found')
})

test('what nobody expected is told without detail, and recorded', async () => {
  const fresh = await openRig(() => ({
    health: () => Promise.reject(new Error('secret of the store')),
  }))
  try {
    const { status, body } = await fresh.call('GET', '/v1/health')
    assert.deepEqual([status, body.code, body.detail], [500, 'internal_error', undefined])
    const last = (await fresh.recorded()).at(-1)
    assert.deepEqual([last?.outcome, last?.reason], ['refused', 'internal_error'])
    assert.equal(JSON.stringify(await fresh.recorded()).includes('secret'), false)
  } finally {
    await fresh.close()
  }
})

const UNAVAILABLE = ['ledger_unavailable', 'policy_unavailable', 'keys_unavailable'] as const

for (const code of UNAVAILABLE) {
  test(`${code} is 503, to be tried again`, async () => {
    const fresh = await openRig(() => ({
      health: () => Promise.reject(new Refusal({ code, detail: 'inside' })),
    }))
    try {
      const { status, body, headers } = await fresh.call('GET', '/v1/health')
      assert.deepEqual([status, body.code, headers.get('retry-after')], [503, code, '1'])
      assert.equal(body.detail, undefined)
    } finally {
      await fresh.close()
    }
  })
}

const CHANGES: readonly (readonly [string, string, unknown])[] = [
  ['POST', '/v1/revocations', { ...BODY, reason: 'x' }],
  ['POST', '/v1/people', { name: 'eve', role: 'admin' }],
  ['POST', '/v1/people/bob/invitations', undefined],
  ['PATCH', '/v1/people/bob', { role: 'approver' }],
  ['DELETE', '/v1/people/bob', undefined],
  ['DELETE', '/v1/people/bob/passkeys/k1', undefined],
]

test('while the audit cannot record, nothing is changed', async () => {
  const fresh = await openRig((parts) => ({
    audit: {
      record: async () => {
        throw new Refusal({ code: 'audit_unavailable', detail: 'full' })
      },
    },
    log: parts.log,
  }))
  try {
    const headers = { 'idempotency-key': 'k' }
    for (const [method, path, body] of CHANGES) {
      const called = await fresh.call(method, path, { body, headers })
      assert.deepEqual([called.status, called.body.code], [503, 'audit_unavailable'], path)
    }
    assert.equal((await fresh.call('GET', '/v1/revocations')).body.items.length, 0)
    assert.deepEqual(fresh.revocations.list(), [])
    const { body } = await fresh.call('GET', '/v1/people')
    assert.deepEqual(
      body.items.map(({ id, role }: { id: string; role: string }) => [id, role]),
      [
        ['alice', 'admin'],
        ['bob', 'viewer'],
      ],
    )
    const search = await fresh.call('GET', '/v1/audit')
    assert.equal(search.status, 503)
  } finally {
    await fresh.close()
  }
})

test('every change is on record before it is made, with who and what', async () => {
  const from = (await rig.recorded()).length
  for (const [method, path, body] of CHANGES) {
    const { status } = await call(method, path, { body, headers: { 'idempotency-key': path } })
    assert.ok(status < 300 || path.endsWith('/k1'), `${method} ${path} ${status}`)
  }
  const lines = (await rig.recorded()).slice(from).filter(({ outcome }) => outcome === 'allowed')
  assert.deepEqual(
    lines.map(({ door, by, reason, evidence }) => ({ door, by, reason, evidence })),
    [
      ['revoke', { targets: ['jti:a'], reason: 'x' }],
      ['invite_person', { name: 'eve', role: 'admin' }],
      ['invite_again', { person: 'bob' }],
      ['change_role', { person: 'bob', role: 'approver' }],
      ['remove_person', { person: 'bob' }],
      ['remove_passkey', { person: 'bob', passkey: 'k1' }],
    ].map(([reason, evidence]) => ({ door: 'admin', by: 'client:admin', reason, evidence })),
  )
})

test('reading is not recorded', async () => {
  const from = (await rig.recorded()).length
  for (const path of ['me', 'sessions', 'revocations', 'holders', 'keys', 'servers', 'health']) {
    assert.equal((await call('GET', `/v1/${path}`)).status, 200, path)
  }
  assert.equal((await rig.recorded()).length, from)
})

test('every kind of problem says what to do', async () => {
  for (const [code, kind] of Object.entries(PROBLEM_KINDS)) {
    const { body } = await call('GET', `/v1/problems/${code}`)
    assert.deepEqual(body, { code, ...kind })
  }
  for (const code of ['nothing', '__proto__', 'constructor']) {
    assert.equal((await call('GET', `/v1/problems/${code}`)).status, 404)
  }
})

test('on another socket, who asks is established in another way', async () => {
  const app = new Koa()
  const api = createAdminApi(rig.parts)
  app.use(
    api.as(async () => ({
      ...{ id: 'local:root', name: 'root', kind: 'local', role: 'admin' },
      ...{ touchedAt: undefined, csrf: undefined },
    })),
  )
  const server = createServer(app.callback()).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  try {
    const { port } = server.address() as AddressInfo
    const response = await fetch(`http://127.0.0.1:${port}/v1/me`)
    assert.deepEqual(await response.json(), {
      ...{ id: 'local:root', name: 'root', kind: 'local', role: 'admin' },
    })
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})
