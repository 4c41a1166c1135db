import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { PROBLEM_KINDS } from '../../src/admin/problem-kinds.ts'
import { ROUTES } from '../../src/admin/routes.ts'
import { ROLES } from '../../src/sign-in/admin.ts'
import { BOT, openRig, RESOURCE } from './rig.ts'

const page = await readFile(new URL('../../docs/admin-api.md', import.meta.url), 'utf8')

/** `| GET /v1/me | yes | yes | yes |`, by method and path. */
const rows = new Map(
  [...page.matchAll(/^\| `(GET|POST|PATCH|DELETE) (\/v1\/[^` ]*)` +\|([^\n]*)\|/gm)].map(
    ([, method, path, cells = '']) => [
      `${method} ${path}`,
      cells
        .split('|')
        .slice(0, ROLES.length)
        .map((cell) => cell.trim()),
    ],
  ),
)

const rig = await openRig()
after(() => rig.close())
await rig.seen({ id: 'a' })

const BODIES: Readonly<Record<string, unknown>> = {
  'POST /v1/revocations': { targets: [{ kind: 'jti', value: 'a' }], reason: 'x' },
  'POST /v1/revocations/preview': { targets: [{ kind: 'jti', value: 'a' }] },
  'POST /v1/revocations/{id}/undo': { reason: 'x' },
  'POST /v1/touch': { targets: [{ kind: 'jti', value: 'a' }], reason: 'x' },
  'POST /v1/policies/check': {},
  'POST /v1/policies/explain': { workload: BOT, server: RESOURCE },
  'POST /v1/people': { name: 'carol', role: 'viewer' },
  'PATCH /v1/people/{id}': { role: 'viewer' },
}

test('the table in docs/admin-api.md has a row for every route, and no other', () => {
  const routes = ROUTES.map(({ method, path }) => `${method} ${path}`)
  assert.deepEqual([...rows.keys()].sort(), routes.sort())
})

for (const { method, path, stream } of ROUTES) {
  const name = `${method} ${path}`
  test(`${name}: allowed to whom the documentation says`, async () => {
    const asked = path
      .replace('{id}', path.includes('sessions') ? 'a' : 'nobody')
      .replace('{code}', 'conflict')
      .replace('{passkey}', 'k1')
    const query = path.endsWith('detail') ? `?resource=${encodeURIComponent(RESOURCE)}` : ''
    for (const [at, role] of ROLES.entries()) {
      const said = rows.get(name)?.[at]
      assert.ok(said === 'yes' || said === 'no', `${name} for ${role}: ${said}`)
      const status = await ask(asked + query, role)
      // What is not there, or not as it would have to be, was looked at: it is allowed.
      if (said === 'no') assert.equal(status, 403, role)
      else assert.ok([200, 201, 204, 404, 409].includes(status), `${role} ${status}`)
    }
    assert.equal(await ask(asked + query, null), 401)
  })

  async function ask(url: string, as: string | null): Promise<number> {
    const headers = { 'idempotency-key': `${name} ${as}`.replaceAll(' ', '-') }
    if (stream === undefined || as === null) {
      return (await rig.call(method, url, { as, body: BODIES[name], headers })).status
    }
    const cut = new AbortController()
    const response = await fetch(rig.url + url, {
      headers: { authorization: `Test ${as}` },
      signal: cut.signal,
    })
    cut.abort()
    return response.status
  }
}

test('docs/admin-api.md says what to do about every kind of problem', () => {
  const codes = [...page.matchAll(/^\| `([a-z_]+)` +\| (\d{3}) +\|/gm)]
  const told = codes.map(([, code, status]) => [code, Number(status)])
  const known = Object.entries(PROBLEM_KINDS).map(([code, { status }]) => [code, status])
  assert.deepEqual(told.sort(), known.sort())
})
