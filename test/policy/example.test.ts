import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Action } from '../../src/action/action.ts'
import { loadCatalogue } from '../../src/catalogue/catalogue.ts'
import { understand } from '../../src/catalogue/understand.ts'
import { openPolicies } from '../../src/policy/engine.ts'
import { call } from '../catalogue/pins.ts'
import { NOW, workload } from './open.ts'

const SERVER = 'http://127.0.0.1:4474/mcp'
const path = (name: string) => fileURLToPath(new URL(`../../config/${name}`, import.meta.url))
const BOT = 'spiffe://demo.test/agents/report-bot'

const CASES: readonly [string, string, Action | undefined, string, string][] = [
  ['the bot connects', BOT, undefined, BOT, 'permit'],
  ['the bot lists notes', BOT, call('list_notes'), BOT, 'permit'],
  ['the bot adds a note', BOT, call('add_note', { title: 'a', text: 'b' }), BOT, 'permit'],
  ['the bot renames a note', BOT, call('rename_note', { id: '1', title: 'b' }), BOT, 'permit'],
  ['the bot deletes a note: a person is asked', BOT, call('delete_note', { id: '1' }), BOT, 'ask'],
  ['the bot deletes for somebody else', BOT, call('delete_note', { id: '1' }), 'user:ada', 'deny'],
  ['another agent lists notes', `${BOT}2`, call('list_notes'), `${BOT}2`, 'deny'],
  ['another agent connects', 'spiffe://demo.test/x', undefined, 'spiffe://demo.test/x', 'deny'],
]

test('the policies in config/ load, and say what their comments say', async () => {
  const catalogue = await loadCatalogue([
    { resource: SERVER, file: path('catalogue/example.json') },
  ])
  const policies = await openPolicies({ directory: path('policies'), catalogue, pollMs: 0 })
  try {
    for (const [title, id, asked, principal, effect] of CASES) {
      const action = asked && { ...asked, server: SERVER }
      const decision = policies.decide({
        workload: workload(id),
        principal,
        actors: [],
        action,
        server: SERVER,
        definition: action && understand(catalogue, action).definition,
        time: NOW,
        address: '127.0.0.1',
        binding: 'dpop',
      })
      assert.equal(decision.effect, effect, title)
    }
  } finally {
    await policies.close()
  }
})
