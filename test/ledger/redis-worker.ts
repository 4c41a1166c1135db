/** A verifier process: told `{ ids }`, it spends them all at once, and answers which it won. */
import { createPublicKey } from 'node:crypto'
import type { SigningKey } from '../../src/token/jws.ts'
import { now, startVerifier } from './redis-setup.ts'

interface Start {
  readonly url: string
  readonly publicJwk: SigningKey['publicJwk']
}

interface Round {
  readonly id: string
  readonly times: number
}

process.once('message', async ({ url, publicJwk }: Start) => {
  const key = createPublicKey({ key: publicJwk as import('node:crypto').JsonWebKey, format: 'jwk' })
  const verifier = await startVerifier({ url }, { kid: 'k1', algorithm: 'ES256', key, publicJwk })
  process.on('message', async ({ id, times }: Round) => {
    const spends = Array.from({ length: times }, () => verifier.ledger.spend(id, now() + 60))
    const won = (await Promise.all(spends)).filter(Boolean).length
    process.send?.({ won })
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
})
