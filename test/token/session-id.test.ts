import assert from 'node:assert/strict'
import test from 'node:test'
import { hashStrings } from '../../src/token/hash-strings.ts'
import { sessionId } from '../../src/token/session-id.ts'

const jkt = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'

test('workload, principal, key and kind of key each make another session', () => {
  const sessions = [
    sessionId('spiffe://a/x', 'user:1', { jkt }),
    sessionId('spiffe://a/y', 'user:1', { jkt }),
    sessionId('spiffe://a/x', 'user:2', { jkt }),
    sessionId('spiffe://a/x', 'user:1', { jkt: `${jkt.slice(1)}A` }),
    sessionId('spiffe://a/x', 'user:1', { 'x5t#S256': jkt }),
    sessionId('spiffe://a/xuser', ':1', { jkt }),
    sessionId('user:1', 'spiffe://a/x', { jkt }),
  ]
  assert.equal(new Set(sessions).size, sessions.length)
  for (const session of sessions) assert.match(session, /^[\w-]{43}$/)
  assert.equal(sessionId('spiffe://a/x', 'user:1', { jkt }), sessions[0])
})

test('no two lists of strings hash alike, however their texts are cut', () => {
  const lists = [
    ['a', 'bc'],
    ['ab', 'c'],
    ['abc'],
    ['abc', ''],
    ['', 'abc'],
    ['1:a', 'bc'],
    ['a1:', 'bc'],
    ['é', ''],
    [],
  ]
  assert.equal(new Set(lists.map(hashStrings)).size, lists.length)
})
