/** What the MCP SDKs call for each request; the global `fetch` is one. */
export type Fetch = (input: string | URL, init?: RequestInit) => Promise<Response>

/** The global `fetch`, looked up at each call so that a program may still replace it. */
export const globalFetch: Fetch = (input, init) => globalThis.fetch(input, init)
