/** What kind of rule a JSON text broke. */
export type JsonProblem = 'size' | 'depth' | 'unicode' | 'syntax' | 'duplicate' | 'number'

/**
 * A text that is not strict JSON. The message says where and what was expected, and repeats nothing
 * of the text, so it can be logged and shown.
 */
export class JsonError extends Error {
  readonly problem: JsonProblem
  /** In UTF-16 code units of the decoded text; `undefined` when the text as a whole is refused. */
  readonly offset: number | undefined

  constructor(problem: JsonProblem, offset: number | undefined, expected: string) {
    super(offset === undefined ? expected : `${expected} at character ${offset}`)
    this.name = 'JsonError'
    this.problem = problem
    this.offset = offset
  }
}
