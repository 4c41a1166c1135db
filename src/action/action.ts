import type { JsonObject } from '../lib/json.ts'

/** MCP methods that do something, and so need a token made for that one request. */
export type ActionMethod = 'tools/call' | 'prompts/get' | 'resources/read'

/** Methods of the tasks extension: several uses of one token, bound to the task's id. */
export type TaskMethod = 'tasks/get' | 'tasks/update' | 'tasks/cancel' | 'tasks/result'

/** A person's or client's answers to a tool that said `input_required`, sent with the next round. */
export interface ContinuationInput {
  readonly inputResponses?: JsonObject
  readonly requestState?: string
}

/** One MCP request that does something: where, what, with what. */
export interface Action {
  /** The MCP server's resource URI. */
  readonly server: string
  readonly method: ActionMethod | TaskMethod
  /** `params.name`, `params.uri` or `params.taskId`, byte for byte. */
  readonly identifier: string
  /** `{}` when the message has none; `undefined` for methods that take none (`resources/read`, tasks). */
  readonly arguments: JsonObject | undefined
  /** Present exactly when the message continues an earlier round. */
  readonly input: ContinuationInput | undefined
  /** The label the agent gives to what it is doing; becomes the token's `txn`. */
  readonly task: string | undefined
}
