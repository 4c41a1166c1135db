/**
 * Of many uses at once, exactly one succeeds.
 *
 * A store that answers too late makes a refusal of what may have been the one success (503). A round
 * that ends with such an answer and no success has kept the promise that matters and says nothing
 * about the other, so it is done again with new credentials; two successes are a failure at once.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type RedisServer, skipWithoutRedis as skip, startRedis } from '../support/redis.ts'
import { freePort } from './program.ts'
import {
  type Answer,
  callBody,
  FORM,
  formFor,
  LIST,
  MCP_HEADERS,
  newKey,
  obtain,
  present,
  proofFor,
  remember,
  send,
  sendFields,
  withOtherSignature,
  withTrailingBits,
} from './sender.ts'
import { makeSite, RESOURCE, type Site, type VerifierProcess } from './site.ts'

const ROUNDS = 20
const AT_THE_ENDPOINT = 40
const PRESENTATIONS = 1000

/** @param use answers with everything that was answered to one credential */
async function eachRound(use: (round: number) => Promise<readonly Answer[]>): Promise<void> {
  let again = 0
  for (let round = 0; round < ROUNDS; round++) {
    const answers = await use(round)
    const won = answers.filter(({ status }) => status === 200).length
    assert.ok(won <= 1, `round ${round}: ${won} succeeded`)
    if (won === 1) continue
    const late = answers.some(({ status }) => status === 503)
    assert.ok(late, `round ${round}: none succeeded: ${answers.map(({ status }) => status)}`)
    assert.ok(++again <= ROUNDS, 'the store hardly ever answers in time')
    round--
  }
}

/** All at once, to one port after the other. */
function all(count: number, one: (index: number) => Promise<Answer>): Promise<Answer[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => one(index)))
}

function useOneProof(site: Site, ports: readonly number[]) {
  return async (): Promise<Answer[]> => {
    const svid = remember(await site.svid())
    const proof = proofFor(newKey(), `${site.issuer}/token`)
    // The same proof with its other signature is the same proof.
    const proofs = [proof, withOtherSignature(proof)]
    return all(AT_THE_ENDPOINT, (index) => {
      const form = formFor(svid, { arguments: { title: `note ${index}` } }).toString()
      const headers = { ...FORM, dpop: proofs[index % 2] ?? proof }
      return send(ports[index % ports.length] ?? 0, '/token', headers, form)
    })
  }
}

const portOf = (url: string) => Number(new URL(url).port)

// Side by side: a new store takes its time.
describe('at once', { concurrency: true }, () => {
  it('of 40 uses of one proof at the token endpoint, one gets a token, in 20 rounds', async (t) => {
    const site = await makeSite()
    t.after(() => site.stop())
    await site.startBroker()
    await eachRound(useOneProof(site, [portOf(site.issuer)]))
  })

  describe('processes that share one Redis', { skip, concurrency: 1 }, () => {
    let redis: RedisServer
    let site: Site
    let verifiers: VerifierProcess[]
    let second: number
    before(async () => {
      redis = await startRedis()
      const changes = { revocation: { beat_every_ms: 250, stale_after_ms: 10_000 } }
      site = await makeSite({ store: { redis: { url: redis.url } }, changes })
      await site.startBroker()
      second = await freePort()
      await site.startBroker(['--listen', `127.0.0.1:${second}`])
      // Silence is not what is tried here, and a machine with much to do may be late.
      verifiers = await site.startVerifiers({ redis: { url: redis.url }, staleAfterMs: 10_000 })
    })
    after(async () => {
      await site.stop()
      await redis.stop()
    })

    it('of 40 uses of one proof at two brokers, one gets a token, in 20 rounds', async () => {
      await eachRound(useOneProof(site, [portOf(site.issuer), second]))
    })

    /** How an honest or a dishonest holder of the key writes one token down. */
    const spellings: readonly [title: string, good: boolean, sent: Spelling][] = [
      ['as issued, with the same proof', true, ({ token, proof }) => ({ token, proof })],
      ['as issued, with a proof of its own', true, ({ token }) => ({ token })],
      [
        'in another case and with blanks',
        true,
        ({ token }) => ({ scheme: 'dPoP', token, after: ' \t ' }),
      ],
      ['with its other signature', true, ({ token }) => ({ token: withOtherSignature(token) })],
      ['with padding', false, ({ token }) => ({ token: remember(`${token}==`) })],
      ['with other unused bits', false, ({ token }) => ({ token: withTrailingBits(token) })],
      ['in the other base64 alphabet', false, ({ token }) => ({ token: otherAlphabet(token) })],
      ['on a second line', false, ({ token }) => ({ token, before: '\r\n ' })],
    ]
    type Spelling = (issued: { token: string; proof: string }) => {
      token: string
      proof?: string
      scheme?: string
      before?: string
      after?: string
    }

    function otherAlphabet(token: string): string {
      return remember(token.replaceAll('-', '+').replaceAll('_', '/'))
    }

    function spelled(
      port: number,
      spelling: Spelling,
      issued: Parameters<Spelling>[0],
      key = newKey(),
    ) {
      const {
        token,
        proof,
        scheme = 'DPoP',
        before: lead = '',
        after: tail = '',
      } = spelling(issued)
      const dpop = proof ?? proofFor(key, RESOURCE, { accessToken: token })
      if (lead === '' && tail === '') {
        const headers = { ...MCP_HEADERS, authorization: `${scheme} ${token}`, dpop }
        return send(port, '/mcp', headers, callBody())
      }
      const fields = Object.entries({ ...MCP_HEADERS, dpop })
      return sendFields(
        port,
        [...fields, ['authorization', `${scheme} ${lead}${token}${tail}`]],
        callBody(),
      )
    }

    /** A token whose base64url has a letter of its own: about one in fifteen has none, and reads the same in base64. */
    async function obtainSpelledApart(): ReturnType<typeof obtain> {
      const issued = await obtain(site, 'action')
      return /[-_]/.test(issued.token) ? issued : obtainSpelledApart()
    }

    it('each spelling by itself is good or is refused, so that the next test means something', async () => {
      for (const [title, good, spelling] of spellings) {
        const { token, key } = await obtainSpelledApart()
        const proof = proofFor(key, RESOURCE, { accessToken: token })
        const { status } = await spelled(verifiers[0]?.port ?? 0, spelling, { token, proof }, key)
        assert.equal(status === 200, good, `${title}: ${status}`)
      }
    })

    it('of 1,000 presentations of one token, in 8 spellings at 4 verifiers, one runs, in 20 rounds', async () => {
      const tokens: string[] = []
      await eachRound(async (round) => {
        const { token, jti, key } = await obtain(site, 'action')
        tokens.push(jti)
        const proof = proofFor(key, RESOURCE, { accessToken: token })
        return all(PRESENTATIONS, (index) => {
          const { port } = verifiers[index % 4] as VerifierProcess
          // Every spelling at every verifier, and another one first in each round.
          const [, , spelling] = spellings[(Math.floor(index / 4) + round) % 8] ?? []
          return spelled(port, spelling as Spelling, { token, proof }, key)
        })
      })
      const runs = await Promise.all(verifiers.map((verifier) => verifier.runs()))
      for (const jti of tokens) {
        const ran = runs.reduce((sum, counts) => sum + (counts[`urn:writ:jti:${jti}`] ?? 0), 0)
        assert.ok(ran <= 1, `a handler ran ${ran} times for one token`)
      }
    })

    it('of 200 uses of one session token with one proof at 4 verifiers, one is served, in 20 rounds', async () => {
      const { token, key } = await obtain(site, 'session')
      await eachRound(async () => {
        const proof = proofFor(key, RESOURCE, { accessToken: token })
        const proofs = [proof, withOtherSignature(proof)]
        return all(200, (index) =>
          present(
            (verifiers[index % 4] as VerifierProcess).port,
            { token, key },
            LIST,
            proofs[index % 2],
          ),
        )
      })
    })
  })
})
