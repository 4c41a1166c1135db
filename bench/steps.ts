// What each step of an exchange costs, one exchange after another in one process, on SQLite.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Broker, Step } from '../src/exchange/broker.ts'
import { exchange } from '../src/exchange/exchange.ts'
import { parseJson } from '../src/lib/json.ts'
import { makeTokenRequests, RESOURCE } from './load.ts'
import { median, round } from './statistics.ts'
import { openSubject } from './subject.ts'

const EXCHANGES = 3000
const WARM_UP = 2000

/** Median microseconds of wall time between the beginnings of two steps, waiting for the disk included. */
export async function measureSteps(): Promise<Record<string, number>> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-bench-'))
  const times = new Map<string, number[]>()
  let step: Step | undefined
  let since = 0
  const mark = (next: Step | undefined): void => {
    const now = performance.now()
    if (step !== undefined) {
      const list = times.get(step) ?? []
      list.push((now - since) * 1000)
      times.set(step, list)
    }
    step = next
    since = performance.now()
  }
  const { running, svids, proofUrl } = await openSubject({ directory, port: 0 }, mark)
  try {
    const requests = makeTokenRequests(WARM_UP + EXCHANGES, { url: proofUrl, svids })
    for (const [index, { body, proof }] of requests.entries()) {
      if (index === WARM_UP) times.clear()
      await one(running.broker, new URLSearchParams(body), proof)
      mark(undefined)
    }
  } finally {
    await running.close()
    await rm(directory, { recursive: true, force: true })
  }
  return Object.fromEntries([...times].map(([name, list]) => [name, round(median(list), 1)]))
}

async function one(broker: Broker, form: URLSearchParams, proof: string): Promise<void> {
  await exchange(
    {
      door: 'token-exchange',
      endpoint: broker.tokenEndpoint,
      subject: {
        token: form.get('subject_token') ?? '',
        tokenType: form.get('subject_token_type') ?? '',
      },
      actor: undefined,
      client: undefined,
      certificate: undefined,
      delegateTo: undefined,
      resource: RESOURCE,
      details: parseJson(form.get('authorization_details') ?? ''),
      proofHeaders: [proof],
      method: 'POST',
      address: '127.0.0.1',
      now: Date.now() / 1000,
    },
    broker,
  )
}
