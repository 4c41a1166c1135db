import { skipWithoutRedis as skip } from '../support/redis.ts'
import { documentsContract } from './documents-contract.ts'
import {
  clusterStore,
  frozenRedisStore,
  memoryStore,
  redisStore,
  sentinelStore,
  sqliteStore,
} from './stores.ts'

documentsContract('memory', memoryStore)
documentsContract('SQLite', sqliteStore)
documentsContract('one Redis', redisStore, skip)
documentsContract('a Redis that stops answering', frozenRedisStore, skip)
documentsContract('Redis under Sentinel', sentinelStore, skip)
documentsContract('a Redis Cluster', clusterStore, skip)
