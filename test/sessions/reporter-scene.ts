/** Verifiers that report, and the desk of the broker that they report to: one of each for a test file. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before } from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { generateSenderKey, type SenderKey } from '../../src/token/proof.ts'
import { sessionId } from '../../src/token/session-id.ts'
import type { ReportsOption, VerifierOptions } from '../../src/verifier/options.ts'
import { createVerifier, type Verifier } from '../../src/verifier/verifier.ts'
import * as rig from '../verifier/rig.ts'
import { AGENT, type Desk, type ReporterClient, reporterClient, startDesk } from './desk.ts'

export interface ReporterScene {
  readonly notes: ReporterClient
  /** For the files of these tests; removed after them. */
  readonly directory: string
  readonly desk: Desk
  /** What every verifier of the scene is made with, besides `reports`. */
  readonly options: VerifierOptions
  /** A verifier that is ready, and is closed after the test. */
  open(
    change?: Partial<ReportsOption>,
    more?: Partial<VerifierOptions>,
  ): Promise<Verifier & { readonly problems: string[] }>
  /** The verifier that was made last, ready or not. */
  last(): Verifier
  /** What the broker has counted for the session of this key. */
  counts(key: SenderKey): Promise<{ spent: number; refused: number } | undefined>
}

/** To be called once, while the file is read: it starts and ends with the tests. */
export function reporterScene(): ReporterScene {
  const notes = reporterClient()
  const opened: Verifier[] = []
  let directory: string
  let desk: Desk
  let made: Awaited<ReturnType<typeof rig.options>>

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'writ-reporter-'))
    // A heartbeat that is late on a busy machine is not what these tests are about.
    made = await rig.options({ staleAfterMs: 60_000 })
    desk = await startDesk([notes.client])
  })
  afterEach(async () => {
    desk.before = undefined
    for (const verifier of opened.splice(0)) await verifier.close()
  })
  after(async () => {
    await made.publisher.close()
    await desk.close()
    await rm(directory, { recursive: true })
  })

  return {
    notes,
    get directory() {
      return directory
    },
    get desk() {
      return desk
    },
    get options() {
      return made.options
    },
    async open(change = {}, more = {}) {
      const problems: string[] = []
      const verifier = createVerifier({
        ...made.options,
        reports: {
          clientId: 'notes',
          key: notes.key,
          url: desk.url,
          everyMs: 20,
          onProblem: (problem) => problems.push(problem),
          ...change,
        },
        ...more,
      })
      opened.push(verifier)
      await verifier.ready()
      return { ...verifier, problems }
    },
    last() {
      const verifier = opened.at(-1)
      if (verifier === undefined) throw new Error('no verifier was made')
      return verifier
    },
    async counts(key) {
      const found = await desk.ledger.sessions?.get(idOf(key))
      return found && { spent: found.session.spent, refused: found.session.refused }
    },
  }
}

export const idOf = (key: SenderKey): string => sessionId(AGENT, AGENT, { jkt: key.jkt })

/** A call with a token of its own, allowed unless `args` are not what the token is for. */
export async function call(
  verifier: Verifier,
  key: SenderKey = generateSenderKey(),
  args: JsonObject = {},
): Promise<boolean> {
  const token = rig.mint(rig.claimsFor({}, {}, key))
  const request = rig.request({ token, key, message: rig.callMessage(args) })
  return (await verifier.check(request)).allowed
}

/** What a report says, unverified. */
export function claimsOf(body: string) {
  return JSON.parse(Buffer.from(body.split('.')[1] ?? '', 'base64url').toString())
}

/** What was sent since `from`, by sequence: the sessions of each sending of it. */
export function sentSessions(desk: Desk, from: number): Map<number, string[]> {
  const sent = new Map<number, string[]>()
  for (const body of desk.bodies.slice(from)) {
    const claims = claimsOf(body)
    if (claims.sessions.length === 0) continue
    const sendings = sent.get(claims.sequence) ?? []
    sent.set(claims.sequence, [...sendings, JSON.stringify(claims.sessions)])
  }
  return sent
}
