// Whoever never answers, or never ends an answer, holds an agent no longer than it promises.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { createAgent, createDpopFetch, type WritError } from '../../src/agent/index.ts'
import { IDENTITY, message, type Running, readBody, serve, startBroker } from './servers.ts'

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => assert.fail('the call went through'),
    (error: WritError) => error.code,
  )

/** Sends the head of an answer and a byte now and then; who asked must end it. */
async function drip(response: ServerResponse, status: number, ended: string[]): Promise<void> {
  response.writeHead(status, { 'content-type': 'application/json' })
  const timer = setInterval(() => response.write(' '), 20)
  await once(response, 'close')
  clearInterval(timer)
  ended.push(`${response.req.url}`)
}

test('a broker, an MCP server and an authorization server that never end an answer are given up', async () => {
  const ended: string[] = []
  const broker = await startBroker()
  let silent = 0
  const mute = await serve(() => void silent++)
  const stalling: Running = await serve(async (request, response) => {
    await readBody(request)
    if (request.url === '/.well-known/oauth-authorization-server') {
      const { origin } = stalling
      response.end(JSON.stringify({ issuer: origin, token_endpoint: `${origin}/broker` }))
      return
    }
    await drip(response, request.url === '/mcp' ? 401 : 200, ended)
  })
  const agentOf = ({ origin }: Running) => createAgent({ broker: origin, identity: () => IDENTITY })
  const mcp = `${stalling.origin}/mcp`
  const form = new URLSearchParams({ grant_type: 'authorization_code', code: 'c' })
  try {
    const codes = await Promise.all([
      codeOf(agentOf(broker).fetch(mcp, message('ping'))),
      codeOf(createDpopFetch()(`${stalling.origin}/as`, { method: 'POST', body: form })),
      codeOf(agentOf(stalling).fetch(mcp, message('ping'))),
      codeOf(agentOf(mute).fetch(mcp, message('ping'))),
    ])
    assert.deepEqual(codes, [
      'server_refused',
      'token_unbound',
      'broker_unreachable',
      'broker_unreachable',
    ])
    assert.equal(silent, 1)
    // Given up is let go of: nothing of it stays open.
    while (ended.length < 3) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.deepEqual(ended.sort(), ['/as', '/broker', '/mcp'])
  } finally {
    for (const server of [broker, mute, stalling]) await server.close()
  }
})
