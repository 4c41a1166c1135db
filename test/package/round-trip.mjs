// A guarded server and an agent that calls it, in plain JavaScript and with public entry points only.
// Runs in a project that has the package installed, on the oldest Node it supports.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createAgent } from 'mcp-writ/agent'
import { createVerifier, memoryLedger, nodeGate } from 'mcp-writ/verifier'

const { issuer, resource, store, definitions, svid, audit } = JSON.parse(process.argv[2])
const ledgers = {
  memory: () => memoryLedger(),
  sqlite: async () => (await import('mcp-writ/ledger/sqlite')).sqliteLedger({ file: store.file }),
}
const ledger = await ledgers[store.kind]()
const verifier = createVerifier({ issuer, resource, ledger, definitions, audit: { file: audit } })
const gate = nodeGate(verifier)
let ran = 0
const server = createServer(async (req, res) => {
  if (!(await gate(req, res))) return
  ran += 1
  res.setHeader('content-type', 'application/json')
  const { name } = req.body.params
  const text = `${name} for ${req.auth.clientId}`
  res.end(
    JSON.stringify({
      jsonrpc: '2.0',
      id: req.body.id,
      result: { content: [{ type: 'text', text }] },
    }),
  )
})
await verifier.ready()
await new Promise((resolve) => server.listen(Number(new URL(resource).port), '127.0.0.1', resolve))

let sent
const agent = createAgent({
  broker: issuer,
  identity: () => readFileSync(svid, 'utf8').trim(),
  fetch: (url, init) => {
    if (String(url) === resource) sent = init
    return fetch(url, init)
  },
})
const params = { name: 'transfer_funds', arguments: { to: 'alice', amount: 5 } }
const first = await agent.fetch(resource, {
  method: 'POST',
  headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
})
const answer = await first.json()
const again = await fetch(resource, sent)
const replay = await again.json()

server.closeAllConnections()
server.close()
await verifier.close()
await ledger.close()
process.stdout.write(
  JSON.stringify({
    node: process.versions.node,
    status: first.status,
    text: answer.result?.content[0].text ?? answer,
    replayed: again.status,
    why: replay.error,
    ran,
  }),
)
