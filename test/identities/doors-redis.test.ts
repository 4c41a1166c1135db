// The same with Redis, which carries what was spent and what is revoked.
import { after, test } from 'node:test'
import { ageRedis } from '../support/aged-store.ts'
import { skipWithoutRedis as skip, startRedis } from '../support/redis.ts'
import { declareDoors } from './doors.ts'
import { startWorld } from './world.ts'

if (skip === false) {
  const redis = await startRedis()
  await ageRedis(redis.url)
  const world = await startWorld({ after }, { settings: { store: { redis: { url: redis.url } } } })
  after(() => redis.stop())
  declareDoors(world)
} else test('one agent at every door, with Redis', { skip })
