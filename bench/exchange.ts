// CPU of the broker's process per exchange, against a floor measured in turns with it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Child, startChild } from './child.ts'
import { makeTokenRequests, sendAll } from './load.ts'
import { freePort } from './redis.ts'
import { median, percentile, round } from './statistics.ts'

const ROUNDS = 7
const REQUESTS_A_ROUND = 2500
/** V8 and the caches are warm after some seconds of load. */
const WARM_UP_REQUESTS = 15_000

export interface ExchangeFigures {
  readonly floorUs: number
  readonly cpuUs: number
  readonly bareUs: number
  readonly cpuVsFloor: number
  /** Without policy and audit. */
  readonly bareCpuVsFloor: number
  readonly exchangesPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

interface Subject {
  readonly name: 'floor' | 'full' | 'bare'
  readonly child: Child
  readonly cpuUs: number[]
  readonly times: number[]
  readonly perSecond: number[]
}

export async function measureExchange(
  redisUrl: string | undefined,
  progress: (text: string) => void,
): Promise<ExchangeFigures> {
  const folders: string[] = []
  const subjects: Subject[] = []
  const start = async (name: Subject['name']): Promise<void> => {
    const directory = await mkdtemp(join(tmpdir(), 'writ-bench-'))
    folders.push(directory)
    const program = name === 'floor' ? 'floor-server.ts' : 'subject-server.ts'
    const child = await startChild(program, {
      directory,
      port: await freePort(),
      bare: name === 'bare',
      ...(redisUrl === undefined ? {} : { redisUrl }),
    })
    subjects.push({ name, child, cpuUs: [], times: [], perSecond: [] })
  }
  try {
    for (const name of ['floor', 'full', 'bare'] as const) await start(name)
    for (const subject of subjects) {
      progress(`warming up: ${subject.name}`)
      for (let sent = 0; sent < WARM_UP_REQUESTS; sent += REQUESTS_A_ROUND) {
        await send(subject)
      }
    }
    for (let index = 0; index < ROUNDS; index += 1) {
      progress(`round ${index + 1} of ${ROUNDS}`)
      for (const subject of subjects) await measure(subject)
    }
  } finally {
    await Promise.all(subjects.map(({ child }) => child.stop()))
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
  }
  const [floor, full, bare] = subjects as [Subject, Subject, Subject]
  const ratio = (subject: Subject) =>
    round(median(subject.cpuUs.map((value, index) => value / floor.cpuUs[index]!)))
  return {
    floorUs: round(median(floor.cpuUs), 1),
    cpuUs: round(median(full.cpuUs), 1),
    bareUs: round(median(bare.cpuUs), 1),
    cpuVsFloor: ratio(full),
    bareCpuVsFloor: ratio(bare),
    exchangesPerSecond: Math.round(median(full.perSecond)),
    p50Ms: round(percentile(full.times, 0.5)),
    p99Ms: round(percentile(full.times, 0.99)),
  }
}

async function measure(subject: Subject): Promise<void> {
  const requests = prepare(subject)
  const before = await subject.child.cpuUs()
  const start = performance.now()
  const times = await sendAll(subject.child.url, requests)
  const seconds = (performance.now() - start) / 1000
  const after = await subject.child.cpuUs()
  subject.cpuUs.push((after - before) / requests.length)
  subject.perSecond.push(requests.length / seconds)
  subject.times.push(...times)
}

async function send(subject: Subject): Promise<void> {
  await sendAll(subject.child.url, prepare(subject))
}

function prepare({ child }: Subject) {
  return makeTokenRequests(REQUESTS_A_ROUND, {
    url: child.extra.proofUrl ?? child.url,
    svid: child.extra.svid ?? 'none',
  })
}
