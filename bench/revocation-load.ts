// Exchanges at a steady rate, as a process of its own; says how many there have been when asked.
import { setTimeout as sleep } from 'node:timers/promises'
import { makeProof } from '../src/token/proof.ts'
import { FORM, formFor, newKey, send } from '../test/attacks/sender.ts'

export interface LoadOptions {
  readonly issuer: string
  readonly ports: readonly number[]
  /** Each is used with one key. */
  readonly svids: readonly string[]
  readonly perSecond: number
}

const { issuer, ports, svids, perSecond } = JSON.parse(process.argv[2] ?? '{}') as LoadOptions
const callers = svids.map((svid) => ({
  key: newKey(),
  body: formFor(svid, { arguments: { title: 'Weekly report' } }).toString(),
}))
let issued = 0
let refused = 0
process.on('message', () => process.send?.({ issued, refused }))
process.on('disconnect', () => process.exit(0))

const startedMs = performance.now()
for (let sent = 0; ; sent += 1) {
  const dueMs = startedMs + (sent * 1000) / perSecond - performance.now()
  if (dueMs > 0) await sleep(dueMs)
  const { key, body } = callers[sent % callers.length]!
  const dpop = makeProof(key, { method: 'POST', url: `${issuer}/token`, now: Date.now() / 1000 })
  send(ports[sent % ports.length]!, '/token', { ...FORM, dpop }, body).then(
    ({ status }) => (status === 200 ? issued++ : refused++),
    () => refused++,
  )
}
