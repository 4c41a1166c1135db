/** The OpenAPI 3.1 document of the admin API, out of its table of routes. */
import { z } from 'zod'
import type { Route } from './route.ts'
import { problem } from './schemas/people.ts'

type Json = Record<string, unknown>

/** One document is like another: it is made once for each address. */
const made = new Map<string, Json>()

export function openApiOf(routes: readonly Route[], url: string): Json {
  const known = made.get(url)
  if (known !== undefined) return known
  const schemas: Record<string, Json> = {}
  const problemAnswer = {
    description: 'No, and why (RFC 9457)',
    content: { 'application/problem+json': { schema: schemaOf(problem, 'output', schemas) } },
  }
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    paths[route.path] = {
      ...paths[route.path],
      [route.method.toLowerCase()]: operationOf(route, schemas, problemAnswer),
    }
  }
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Writ admin API',
      version: '1',
      description: 'See and stop what agents do. Times are seconds since the epoch.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url }],
    security: [{ signIn: [] }, { token: [] }],
    paths,
    components: {
      schemas,
      securitySchemes: {
        signIn: { type: 'apiKey', in: 'cookie', name: '__Host-writ' },
        token: {
          type: 'http',
          scheme: 'DPoP',
          description: 'A sender-constrained access token, with a DPoP proof (RFC 9449)',
        },
      },
    },
  }
  made.set(url, document)
  return document
}

function operationOf(route: Route, schemas: Record<string, Json>, problemAnswer: Json): Json {
  const { method, path, role, summary, query, body, answer, status, stream, change } = route
  const parameters = [
    ...[...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    })),
    ...(query === undefined ? [] : queryParameters(query, schemas)),
    ...(change === undefined || change.key === 'never' ? [] : [keyParameter(change.key)]),
    ...(stream === undefined ? [] : [resumeParameter]),
  ]
  const content =
    stream !== undefined
      ? { [stream]: { schema: { type: 'string' }, 'x-writ-event': eventOf(answer, schemas) } }
      : answer && { 'application/json': { schema: schemaOf(answer, 'output', schemas) } }
  return {
    operationId: `${method.toLowerCase()}${path.slice('/v1'.length).replaceAll(/[^A-Za-z]+(.?)/g, (_, next) => next.toUpperCase())}`,
    summary,
    description: `For the role ${role} and those above it.`,
    'x-writ-role': role,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !body.safeParse(undefined).success,
            content: { 'application/json': { schema: schemaOf(body, 'input', schemas) } },
          },
        }),
    responses: {
      [status]: { description: summary, ...(content === undefined ? {} : { content }) },
      default: problemAnswer,
    },
  }
}

/** What the `event` and the `data` of each are. */
function eventOf(answer: z.ZodType | undefined, schemas: Record<string, Json>): Json {
  return answer === undefined ? {} : schemaOf(answer, 'output', schemas)
}

const resumeParameter = {
  name: 'Last-Event-ID',
  in: 'header',
  required: false,
  description: 'the id of the last event that was read',
  schema: { type: 'string' },
}

function keyParameter(need: 'required' | 'accepted'): Json {
  return {
    name: 'Idempotency-Key',
    in: 'header',
    required: need === 'required',
    description: 'names this request, so that it can be sent again without being done twice',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
  }
}

function queryParameters(query: z.ZodType, schemas: Record<string, Json>): Json[] {
  const { properties = {}, required = [] } = schemaOf(query, 'input', schemas) as {
    properties?: Record<string, Json>
    required?: string[]
  }
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

/** The JSON Schema of a zod schema; those with an id go among the components. */
export function schemaOf(
  schema: z.ZodType,
  io: 'input' | 'output',
  components: Record<string, Json>,
): Json {
  const {
    $schema: _,
    $defs = {},
    ...root
  } = z.toJSONSchema(schema, {
    io,
    override({ zodSchema, jsonSchema }) {
      // What a query says is text; what it stands for is told instead.
      const shown = z.globalRegistry.get(zodSchema as unknown as z.ZodType)?.openapi
      if (shown === undefined) return
      for (const member of Object.keys(jsonSchema)) delete (jsonSchema as Json)[member]
      Object.assign(jsonSchema, shown)
    },
  }) as Json & { $defs?: Record<string, Json> }
  const id = z.globalRegistry.get(schema)?.id
  for (const [name, definition] of Object.entries($defs)) add(components, name, definition)
  if (id === undefined || '$ref' in root) return pointed(root) as Json
  add(components, id, root)
  return { $ref: `#/components/schemas/${id}` }
}

function add(components: Record<string, Json>, name: string, definition: Json): void {
  const { id: _, ...told } = pointed(definition) as Json
  const there = components[name]
  if (there !== undefined && JSON.stringify(there) !== JSON.stringify(told)) {
    throw new Error(`${name} is two schemas`)
  }
  components[name] = told
}

/** References as the document has them. */
function pointed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(pointed)
  if (typeof node !== 'object' || node === null) return node
  return Object.fromEntries(
    Object.entries(node).map(([name, value]) => [
      name,
      name === '$ref' && typeof value === 'string'
        ? value.replace('#/$defs/', '#/components/schemas/')
        : pointed(value),
    ]),
  )
}
