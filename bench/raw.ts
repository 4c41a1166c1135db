// The unit both floors are also told in: one ES256 check by node:crypto on a key object at hand.
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { median, round } from './statistics.ts'

const CHECKS = 3000
const ROUNDS = 7

/** Microseconds of CPU. */
export function measureRawVerify(): number {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const data = Buffer.alloc(300, 7)
  const signature = sign('sha256', data, privateKey)
  const rounds = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage()
    for (let index = 0; index < CHECKS; index += 1) verify('sha256', data, publicKey, signature)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / CHECKS
  })
  return round(median(rounds), 1)
}
