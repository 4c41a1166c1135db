import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedMap } from '../../src/lib/bounded-map.ts'

test('a full map forgets what was used longest ago', () => {
  const map = new BoundedMap<string, number>(2)
  map.set('a', 1).set('b', 2)
  assert.equal(map.get('a'), 1)
  map.set('c', 3)
  assert.equal(map.get('b'), undefined)
  assert.equal(map.get('a'), 1)
  assert.equal(map.get('c'), 3)
  assert.equal(map.size, 2)
})

test('setting a known key is a use and never forgets another', () => {
  const map = new BoundedMap<string, number>(2)
  map.set('a', 1).set('b', 2).set('a', 3)
  assert.equal(map.size, 2)
  map.set('c', 4)
  assert.equal(map.get('b'), undefined)
  assert.equal(map.get('a'), 3)
})

test('however much strangers put in, it never grows beyond its bound', () => {
  const map = new BoundedMap<number, number>(100)
  for (let i = 0; i < 10_000; i++) {
    map.set(i, i)
    assert.ok(map.size <= 100)
  }
  assert.equal(map.get(9_899), undefined)
  assert.equal(map.get(9_900), 9_900)
})

test('undefined is a value like any other', () => {
  const map = new BoundedMap<string, undefined>(1)
  map.set('a', undefined)
  assert.equal(map.get('a'), undefined)
  assert.equal(map.size, 1)
})

test('delete and clear forget', () => {
  const map = new BoundedMap<string, number>(3)
  map.set('a', 1).set('b', 2)
  assert.equal(map.delete('a'), true)
  assert.equal(map.delete('a'), false)
  assert.equal(map.get('a'), undefined)
  map.clear()
  assert.equal(map.size, 0)
})

test('a bound that is no bound is a mistake', () => {
  for (const bound of [0, -1, 1.5, Number.NaN, Infinity]) {
    assert.throws(() => new BoundedMap(bound), TypeError)
  }
})
