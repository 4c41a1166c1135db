/** Why this text cannot be arguments, for the field; undefined when it can. */
export function argumentsProblem(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return undefined
    return 'Arguments are one JSON object, as in {"amount": 5}'
  } catch (error) {
    const says = (error as Error).message
    const at = /position (\d+)/.exec(says)?.[1]
    if (at === undefined) return 'This is not JSON yet: something is missing at the end'
    const before = text.slice(0, Number(at)).split('\n')
    return `Not JSON at line ${before.length}, column ${before.at(-1)!.length + 1}`
  }
}

type Schema = Readonly<Record<string, unknown>>

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Arguments of the right shape to start from: what the schema requires, with plain values. */
export function exampleOf(schema: unknown): string {
  return JSON.stringify(
    isSchema(schema) ? exampleValue({ type: 'object', ...schema }, 0) : {},
    null,
    2,
  )
}

const DEEPEST = 6

function exampleValue(schema: Schema, depth: number): unknown {
  if (schema.default !== undefined) return schema.default
  if (schema.const !== undefined) return schema.const
  if (Array.isArray(schema.enum)) return schema.enum[0]
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type
  if (type === 'object' && isSchema(schema.properties) && depth < DEEPEST) {
    const required = Array.isArray(schema.required) ? (schema.required as string[]) : []
    const names = required.length > 0 ? required : Object.keys(schema.properties)
    const { properties } = schema
    return Object.fromEntries(
      names.map((name) => {
        const of = Object.hasOwn(properties, name) ? properties[name] : undefined
        return [name, isSchema(of) ? exampleValue(of, depth + 1) : '']
      }),
    )
  }
  if (type === 'object') return {}
  if (type === 'array') return []
  if (type === 'integer' || type === 'number') {
    return typeof schema.minimum === 'number' ? schema.minimum : 1
  }
  if (type === 'boolean') return false
  if (type === 'null') return null
  return ''
}
