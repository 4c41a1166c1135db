// Compares every answer of the API in these tests with what its OpenAPI document says of it.
import assert from 'node:assert/strict'
import { type Schema, Validator } from '@cfworker/json-schema'
import { openApiOf } from '../../src/admin/openapi.ts'
import { createRouter } from '../../src/admin/router.ts'
import { ROUTES } from '../../src/admin/routes.ts'

interface Operation {
  readonly responses: Record<string, { content?: Record<string, { schema: Schema }> }>
}

const document = openApiOf(ROUTES, 'https://admin.test') as {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}
const find = createRouter(ROUTES)
const validators = new Map<Schema, Validator>()

export function checkAnswer(method: string, path: string, response: Response, body: unknown): void {
  const type = response.headers.get('content-type') ?? undefined
  const label = `${method} ${path} answered ${response.status} ${JSON.stringify(body)}`
  const operation = operationOf(method, new URL(path, 'https://admin.test').pathname)
  if (operation === undefined) {
    assert.equal(type?.split(';')[0], 'application/problem+json', label)
    return
  }
  const said = operation.responses[response.status] ?? operation.responses.default
  assert.ok(said !== undefined, label)
  const [[named, media] = []] = Object.entries(said.content ?? {})
  if (media === undefined) {
    assert.equal(body, undefined, label)
    return
  }
  assert.equal(type?.split(';')[0], named, label)
  const { valid, errors } = validatorOf(media.schema).validate(body)
  assert.ok(valid, `${label}: ${JSON.stringify(errors)}`)
}

function operationOf(method: string, path: string): Operation | undefined {
  try {
    const { route } = find(method, path)
    return document.paths[route.path]?.[route.method.toLowerCase()]
  } catch {
    return undefined
  }
}

function validatorOf(schema: Schema): Validator {
  const there = validators.get(schema)
  if (there !== undefined) return there
  const { components } = document
  const made = new Validator({ ...schema, components } as Schema, '2020-12', false)
  validators.set(schema, made)
  return made
}
