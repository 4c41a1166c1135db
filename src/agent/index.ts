/** `mcp-writ/agent`: gets a token for the next MCP call and attaches it. */
export type { SenderKey } from '../token/proof.ts'
export { generateSenderKey, importSenderKey } from '../token/proof.ts'
export { type Agent, type AgentOptions, createAgent } from './agent.ts'
export { createDpopFetch, type DpopFetchOptions } from './dpop-fetch.ts'
export { WritError, type WritErrorCode, type WritErrorDetails } from './error.ts'
export type { Fetch } from './fetch.ts'
