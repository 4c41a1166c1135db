import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Validator } from '@cfworker/json-schema'
import { schemaOf } from '../../src/admin/openapi.ts'
import { ROUTES } from '../../src/admin/routes.ts'
import { openRig } from './rig.ts'

type Json = Record<string, unknown>
interface Document {
  readonly openapi: string
  readonly info: { title: string; version: string }
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { schemas: Record<string, Json>; securitySchemes: Record<string, Json> }
  readonly security: readonly Record<string, readonly string[]>[]
}
interface Operation {
  readonly operationId: string
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: Json }[]
  readonly requestBody?: { content: Record<string, { schema: Json }> }
  readonly responses: Record<string, { description: string }>
}

const rig = await openRig()
after(() => rig.close())
const document = (await rig.call('GET', '/v1/openapi.json', { as: 'viewer' })).body as Document
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
)

test('it is an OpenAPI 3.1 document with every route, and no other', () => {
  assert.match(document.openapi, /^3\.1\.\d+$/)
  assert.ok(document.info.title !== '' && document.info.version !== '')
  assert.deepEqual(
    operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort(),
    ROUTES.map(({ method, path }) => `${method} ${path}`).sort(),
  )
  const ids = operations.map(({ operation }) => operation.operationId)
  assert.equal(new Set(ids).size, ids.length)
  for (const scheme of document.security.flatMap(Object.keys)) {
    assert.ok(scheme in document.components.securitySchemes, scheme)
  }
})

test('every operation says its parameters, its answer and its problems', () => {
  for (const { path, operation } of operations) {
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name)
    const inPath = (operation.parameters ?? []).filter((each) => each.in === 'path')
    assert.deepEqual(
      inPath.map(({ name }) => name),
      named,
      path,
    )
    assert.ok(inPath.every(({ required }) => required))
    assert.ok('default' in operation.responses, path)
    const [success] = Object.keys(operation.responses)
    assert.match(success ?? '', /^20[014]$/)
    for (const { description } of Object.values(operation.responses)) assert.ok(description)
  }
})

test('every reference leads to something', () => {
  let seen = 0
  const look = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    for (const [name, value] of Object.entries(node)) {
      if (name === '$ref') {
        seen += 1
        const at = String(value).replace('#/', '').split('/')
        let found: unknown = document
        for (const step of at) found = (found as Json | undefined)?.[step]
        assert.ok(found !== undefined, String(value))
      } else look(value)
    }
  }
  look(document)
  assert.ok(seen > 40, String(seen))
})

test('its schemas are JSON Schemas that say no', () => {
  const { components } = document
  const valid = (name: string, value: unknown) =>
    new Validator(
      { $ref: `#/components/schemas/${name}`, components } as never,
      '2020-12',
    ).validate(value).valid
  const target = { kind: 'jti', value: 'a' }
  assert.ok(valid('Target', target))
  assert.ok(!valid('Target', { ...target, all: true }))
  assert.ok(!valid('Target', { ...target, kind: 'all' }))
  assert.ok(valid('NewRevocations', { targets: [target], reason: 'x', touch: {} }))
  assert.ok(!valid('NewRevocations', { targets: [], reason: 'x' }))
  assert.ok(!valid('Session', { id: 'a' }))
})

test('two schemas of one name are found', () => {
  const components = { Target: { type: 'string' } }
  const schema = ROUTES.find(({ path }) => path === '/v1/revocations/preview')!.body!
  assert.throws(() => schemaOf(schema, 'input', components), /Target is two schemas/)
})

test('it is told where it is reached, and by whom', () => {
  assert.deepEqual((document as unknown as Json).servers, [{ url: 'https://admin.test' }])
})
