/** A schema that cannot be used, in words for the person who pins it. Holds no argument values. */
export class SchemaError extends Error {
  /** JSON Pointer to the place in the schema, when known. */
  readonly pointer: string | undefined

  constructor(message: string, pointer?: string) {
    super(
      pointer === undefined ? message : `${message} (at ${pointer === '' ? 'the root' : pointer})`,
    )
    this.name = 'SchemaError'
    this.pointer = pointer
  }
}
