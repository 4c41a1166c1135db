/**
 * Attacks at the two doors, each refused with the right status and the right line in the audit; and
 * after all of them, one right request with the one right token still runs, once.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, it } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { brokerAttacks } from './door-broker.ts'
import { type Attack, makeScene, type Scene } from './door-scene.ts'
import { serverAttacks } from './door-server.ts'
import {
  type Answer,
  callBody,
  credentials,
  obtain,
  present,
  refusals,
  sendFields,
  sendRaw,
} from './sender.ts'
import { makeSite, readRecords, recordsIn, type Site } from './site.ts'

let scene: Scene
let site: Site
before(async () => {
  site = await makeSite()
  scene = await makeScene(site)
})
after(() => site.stop())

async function records(door: Attack['door']): Promise<JsonObject[]> {
  return door === 'broker'
    ? readRecords(scene.site.auditDirectory)
    : recordsIn(await readFile(scene.verifier.audit, 'utf8'))
}

function expectRefused(attack: Attack, answer: Answer, written: readonly JsonObject[]): void {
  const [status, reason, evidence] = attack.refused
  assert.equal(answer.status, status, answer.text)
  assert.deepEqual(
    written.map((record) => [record.outcome, record.reason]),
    [['refused', reason]],
    JSON.stringify(written),
  )
  for (const [name, value] of Object.entries(evidence ?? {})) {
    const found = written[0]?.evidence as JsonObject | undefined
    assert.deepEqual(found?.[name], value, JSON.stringify(written[0]))
  }
}

for (const [title, attacks] of [
  ['at the token endpoint', brokerAttacks],
  ['at an MCP server', serverAttacks],
] as const) {
  describe(title, () => {
    for (const attack of attacks) {
      it(`${attack.title} is refused as ${attack.refused[1]}`, async () => {
        const before = await records(attack.door)
        const answer = await attack.attack(scene)
        // An event on the way (a second key for one SVID) is no answer.
        const written = (await records(attack.door))
          .slice(before.length)
          .filter(({ outcome }) => outcome !== 'event')
        expectRefused(attack, answer, written)
      })
    }
  })
}

describe('and afterwards', () => {
  it('nothing has run', async () => {
    assert.deepEqual(await scene.verifier.runs(), {})
  })

  it('the right request with the token that all of them tried runs, once', async () => {
    const { port } = scene.verifier
    const { issued } = scene
    assert.equal((await present(port, issued)).status, 200)
    assert.equal((await present(port, issued)).status, 401)
    assert.equal(
      (await present(port, scene.continued, callBody(undefined, scene.input))).status,
      200,
    )
    assert.deepEqual(Object.values(await scene.verifier.runs()), [1, 1])
  })

  it('a body that comes too slowly is cut off by the broker, and meanwhile others are served', async () => {
    const { host, port } = new URL(scene.site.issuer)
    const head = `POST /token HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/x-www-form-urlencoded\r\n`
    const slow = Array.from({ length: 20 }, () =>
      sendRaw(Number(port), `${head}Content-Length: 100\r\n\r\ngrant_type=`),
    )
    assert.equal((await obtain(scene.site, 'action')).status, 200)
    assert.deepEqual(new Set((await Promise.all(slow)).map(({ status }) => status)), new Set([408]))
  })

  it('a body that is broken off does a verifier no harm', async () => {
    const { connect } = await import('node:net')
    const socket = connect(scene.verifier.port, '127.0.0.1')
    const head = `POST /mcp HTTP/1.1\r\nHost: mcp.test\r\nContent-Type: application/json\r\n`
    await new Promise<void>((resolve) => {
      socket.write(`${head}Content-Length: 1000\r\n\r\n{"jsonrpc"`, () => resolve())
    })
    socket.destroy()
    const got = await obtain(scene.site, 'action')
    assert.equal((await present(scene.verifier.port, got)).status, 200)
  })

  it('no request is taken for two', async () => {
    const fields = Object.entries({ Host: 'mcp.test', 'Transfer-Encoding': 'chunked' })
    const smuggled = '0\r\n\r\nPOST /mcp HTTP/1.1\r\nHost: mcp.test\r\n\r\n'
    const answer = await sendFields(scene.verifier.port, fields, smuggled)
    assert.equal(answer.status, 400)
  })

  it('no credential of the whole run is in any output, audit log, store or error answer', async () => {
    const { site, verifier } = scene
    const store = ['writ.db', 'writ.db-wal'].map((name) =>
      readFile(`${site.directory}/${name}`, 'latin1').catch(() => ''),
    )
    const places: Record<string, string> = {
      'standard output and error': site.programs.map((program) => program.printed()).join('\n'),
      'the broker’s audit': JSON.stringify(await readRecords(site.auditDirectory)),
      'the verifier’s audit': await readFile(verifier.audit, 'utf8'),
      'the store': (await Promise.all(store)).join('\n'),
      'an error answer': refusals.join('\n'),
    }
    assert.ok(credentials.size > 100 && refusals.length > 100)
    for (const [place, text] of Object.entries(places)) {
      assert.ok(text.length > 100, `${place} has been looked at`)
      for (const credential of credentials) {
        // A JWS is as good as found with its claims or its signature alone.
        for (const part of credential
          .split('.')
          .filter((one) => one.length >= 40)
          .slice(-2)) {
          assert.ok(!text.includes(part), `${place} holds a credential`)
        }
      }
    }
  })
})
