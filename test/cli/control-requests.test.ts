// What may be asked on the control socket: the admin API, as the user of this host, and nothing besides.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { after, before, test } from 'node:test'
import { createAdminApi } from '../../src/admin/api.ts'
import { listOf, revocation } from '../../src/admin/schemas.ts'
import { clientOnSocket } from '../../src/cli/admin-client.ts'
import { forLocal } from '../../src/cli/admin-side.ts'
import { CliError } from '../../src/cli/answer.ts'
import { type Control, controlPath, openControl } from '../../src/cli/control.ts'
import { openRig, type Rig } from '../admin/rig.ts'
import { temporaryDirectory } from './writ.ts'

const hooks: (() => Promise<void>)[] = []
const ISSUER = 'https://broker.test'
let rig: Rig
let control: Control
let path: string

before(async () => {
  rig = await openRig()
  hooks.push(() => rig.close())
  path = controlPath(await temporaryDirectory({ after: (hook) => void hooks.push(hook) }))
  control = await openControl(path, forLocal(createAdminApi(rig.parts), ISSUER))
  hooks.push(() => control.close())
})
after(async () => {
  for (const hook of hooks.reverse()) await hook()
})

interface Request {
  readonly method?: string
  readonly at?: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
}

const STOP = { targets: [{ kind: 'task', value: 'T-1' }], reason: 'a test' }
const CHANGE = { 'content-type': 'application/json', 'idempotency-key': 'key-1' }

async function ask({ method = 'POST', at = '/v1/revocations', body = '', headers = {} }: Request) {
  const call = request({ socketPath: path, path: at, method, headers, agent: false })
  call.on('error', () => {})
  call.end(body)
  const [response] = await once(call, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return {
    status: response.statusCode as number,
    headers: response.headers as IncomingHttpHeaders,
    text,
  }
}

const revoked = async () => (await rig.history.list({ limit: 100 })).items.length

const HOSTILE: readonly (readonly [string, Request, number])[] = [
  ['a body that is too large', { body: `"${'x'.repeat(262_144)}"`, headers: CHANGE }, 413],
  ['no object', { body: '[]', headers: CHANGE }, 400],
  ['no JSON', { body: '{', headers: CHANGE }, 400],
  [
    'a member that is there twice',
    { body: `{"reason":"a",${JSON.stringify(STOP).slice(1)}`, headers: CHANGE },
    400,
  ],
  [
    'a member that means nothing',
    { body: JSON.stringify({ ...STOP, by: 'admin' }), headers: CHANGE },
    400,
  ],
  ['an unknown kind of target', { body: textOf('toString', 'x'), headers: CHANGE }, 400],
  ['a target of another form', { body: textOf('key', 'x'), headers: CHANGE }, 400],
  [
    'no key for what is to be done once',
    { body: JSON.stringify(STOP), headers: { 'content-type': 'application/json' } },
    400,
  ],
  [
    'what a page can send without asking',
    { body: JSON.stringify(STOP), headers: { ...CHANGE, 'content-type': 'text/plain' } },
    400,
  ],
  ['another method', { method: 'PUT', body: JSON.stringify(STOP), headers: CHANGE }, 405],
  ['another path', { at: '/v1/revocation', body: JSON.stringify(STOP), headers: CHANGE }, 404],
  [
    'a path upwards',
    { at: '/v1/../revocations', body: JSON.stringify(STOP), headers: CHANGE },
    404,
  ],
  ['what is not the API', { at: '/revocations', body: JSON.stringify(STOP), headers: CHANGE }, 404],
  ['the token endpoint', { at: '/token', body: 'grant_type=x' }, 404],
  ['the metrics', { method: 'GET', at: '/metrics' }, 404],
  ['the console', { method: 'GET', at: '/' }, 404],
  ['the sign-in', { method: 'GET', at: '/sign-in' }, 404],
  ['the server itself', { method: 'OPTIONS', at: '*' }, 404],
]

function textOf(kind: string, value: string): string {
  return JSON.stringify({ targets: [{ kind, value }], reason: 'a test' })
}

for (const [name, asked, status] of HOSTILE) {
  test(`refused, and nothing is done: ${name}`, async () => {
    const before = await revoked()
    assert.equal((await ask(asked)).status, status)
    assert.equal(await revoked(), before)
  })
}

test('a command that means another broker is told so, and nothing is done', async () => {
  const before = await revoked()
  const asking = (issuer: string) =>
    clientOnSocket(path, issuer).post('/v1/revocations', listOf(revocation), STOP, { key: issuer })
  await assert.rejects(asking('https://other.test'), (error: CliError) => {
    assert.match(error.message, /another broker answers here: it is that of https:\/\/broker\.test/)
    return error.code === 'refused'
  })
  assert.equal(await revoked(), before)
  await asking(ISSUER)
  assert.equal(await revoked(), before + 1)
})

test('what is no HTTP is hung up on, and the next one is served', async () => {
  const socket = connect(path)
  socket.resume()
  socket.write('\u0000\u0001 hello\r\n\r\n')
  await once(socket, 'close')
  assert.equal((await ask({ method: 'GET', at: '/v1/me' })).status, 200)
})

test('who asks is an admin of this host, by a name that is a name', async () => {
  const here = userInfo().username
  const names: readonly (readonly [string | undefined, string])[] = [
    ['alice', 'alice'],
    [undefined, here],
    ['', here],
    ['-rf', here],
    ['alice bob', here],
    ['person:alice', here],
    ['a'.repeat(65), here],
  ]
  for (const [named, name] of names) {
    const headers: Record<string, string> = named === undefined ? {} : { 'x-writ-user': named }
    // What counts on the admin listener counts for nothing here.
    headers.authorization = 'Bearer viewer'
    headers.cookie = '__Host-writ=x'
    const { id, kind, role } = JSON.parse(
      (await ask({ method: 'GET', at: '/v1/me', headers })).text,
    )
    assert.deepEqual({ id, kind, role }, { id: `local:${name}`, kind: 'local', role: 'admin' })
  }
})

test('a revocation that is sent twice is made once, and is on record with who asked', async () => {
  const before = await revoked()
  const admin = clientOnSocket(path)
  const twice = [1, 2].map(() =>
    admin.post('/v1/revocations', listOf(revocation), STOP, { key: 'once' }),
  )
  const [first, second] = await Promise.all(twice)
  assert.equal(first!.items[0]!.id, second!.items[0]!.id)
  assert.equal(await revoked(), before + 1)
  assert.equal(first!.items[0]!.by, `local:${userInfo().username}`)
  const records = await rig.recorded()
  assert.ok(records.some(({ reason, door, by }) => reason === 'revoke' && door === 'admin' && by))
})

test('a failure is told, without what only the log may say', async (t) => {
  const { history } = rig.parts
  const failing = createAdminApi({
    ...rig.parts,
    history: {
      get: history.get.bind(history),
      list: history.list.bind(history),
      undo: history.undo.bind(history),
      revoke: () => Promise.reject(new Error('redis://:secret@store is down')),
    },
  })
  const other = controlPath(await temporaryDirectory(t))
  const { close } = await openControl(other, forLocal(failing, ISSUER))
  t.after(close)
  const error = await clientOnSocket(other)
    .post('/v1/revocations', listOf(revocation), STOP, { key: 'failing' })
    .catch((thrown: unknown) => thrown)
  assert.ok(error instanceof CliError)
  assert.equal(error.code, 'unavailable')
  assert.doesNotMatch(`${error.message} ${error.hint}`, /secret/)
})
