import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { proven, Workload } from '../../src/identity/workload.ts'

const FACTS = {
  id: 'spiffe://corp.test/a',
  kind: 'spiffe',
  issuer: 'corp.test',
  expiresAt: 1,
  credential: 'x',
  attributes: { team: 'blue' },
} as const

test('a workload cannot be constructed, not even from JavaScript', () => {
  const Constructor = Workload as unknown as new (...args: unknown[]) => Workload
  assert.throws(() => new Constructor(FACTS), TypeError)
  assert.throws(() => new Constructor(FACTS, Symbol('proven')), TypeError)
})

test('a look-alike is told from the real thing', () => {
  assert.equal(Workload.isProven(proven(FACTS)), true)
  assert.equal(Workload.isProven({ ...FACTS }), false)
  assert.equal(Workload.isProven(Object.create(Workload.prototype)), false)
  assert.equal(Workload.isProven(null), false)
})

test('what was proven cannot be changed afterwards', () => {
  const workload = proven(FACTS)
  assert.throws(() => Object.assign(workload, { id: 'spiffe://corp.test/b' }), TypeError)
  assert.throws(() => Object.assign(workload.attributes, { team: 'red' }), TypeError)
})

test('only identity/ makes workloads', () => {
  const source = new URL('../../src/', import.meta.url).pathname
  const callers = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.startsWith('identity/'))
    .filter((file) =>
      /\bproven\b[^'"]*from '[^']*workload\.ts'/.test(readFileSync(join(source, file), 'utf8')),
    )
  assert.deepEqual(callers, [])
})

test('only the explaining of policies may suppose a workload', () => {
  const source = new URL('../../src/', import.meta.url).pathname
  const callers = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => readFileSync(join(source, file), 'utf8').includes('/hypothetical.ts'))
  assert.deepEqual(
    callers.filter((file) => file !== 'policy/explain.ts'),
    [],
  )
})
