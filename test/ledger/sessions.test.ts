import { skipWithoutRedis as skip } from '../support/redis.ts'
import { sessionsContract } from './sessions-contract.ts'
import {
  clusterStore,
  frozenRedisStore,
  memoryStore,
  redisStore,
  sentinelStore,
  sqliteStore,
} from './stores.ts'

sessionsContract('memory', memoryStore)
sessionsContract('SQLite', sqliteStore)
sessionsContract('one Redis', redisStore, skip)
sessionsContract('a Redis that stops answering', frozenRedisStore, skip)
sessionsContract('Redis under Sentinel', sentinelStore, skip)
sessionsContract('a Redis Cluster', clusterStore, skip)
