// CPU of the broker's process per exchange, against a floor measured in turns with it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Child, startChild } from './child.ts'
import { Busy, makeTokenRequests, sendAll, type TokenRequest } from './load.ts'
import { freePort } from './redis.ts'
import { median, percentile, round } from './statistics.ts'

const ROUNDS = 21
const REQUESTS_A_ROUND = 800
/** V8 and the caches are warm after some seconds of load. */
const WARM_UP_ROUNDS = 16
/** On a machine so busy that the rounds do not fit, fewer are measured. */
const MEASURE_AT_MOST_MS = 60_000
const LEAST_ROUNDS = 5
/** A round in which one request was refused with 503 is thrown away and made again. */
const TRIES_A_ROUND = 5

interface CpuFigures {
  /** Microseconds of CPU an exchange. */
  readonly cpuUs: number
  /** The median of each round's ratio. */
  readonly cpuVsFloor: number
}

export interface ExchangeFigures extends CpuFigures {
  readonly floorUs: number
  /** The policy a constant, the audit nothing. */
  readonly withoutPolicyAndAudit: CpuFigures
  readonly exchangesPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly rounds: number
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
  const start = async (name: Subject['name']): Promise<Subject> => {
    const directory = await mkdtemp(join(tmpdir(), 'writ-bench-'))
    folders.push(directory)
    const program = name === 'floor' ? 'floor-server.ts' : 'subject-server.ts'
    const child = await startChild(program, {
      directory,
      port: await freePort(),
      bare: name === 'bare',
      ...(redisUrl === undefined ? {} : { redisUrl }),
    })
    const subject = { name, child, cpuUs: [], times: [], perSecond: [] }
    subjects.push(subject)
    return subject
  }
  let floor: Subject
  let full: Subject
  let bare: Subject
  try {
    progress('starting: a broker on a new store waits before it listens')
    const started = await Promise.allSettled([start('floor'), start('full'), start('bare')])
    for (const each of started) if (each.status === 'rejected') throw each.reason
    ;[floor, full, bare] = started.map((each) => (each as { value: Subject }).value) as [
      Subject,
      Subject,
      Subject,
    ]
    progress('warming up')
    for (let index = 0; index < WARM_UP_ROUNDS; index += 1) {
      for (const subject of subjects) await sendRound(subject)
    }
    progress('measuring')
    const until = performance.now() + MEASURE_AT_MOST_MS
    const turns = [floor, full, bare]
    for (let index = 0; index < ROUNDS; index += 1) {
      if (index >= LEAST_ROUNDS && performance.now() > until) break
      for (const subject of turns) await measure(subject)
      // Nobody always runs after the same one.
      turns.push(turns.shift()!)
    }
  } finally {
    await Promise.all(subjects.map(({ child }) => child.stop()))
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
  }
  const figures = ({ cpuUs }: Subject): CpuFigures => ({
    cpuUs: round(median(cpuUs), 1),
    cpuVsFloor: round(median(cpuUs.map((value, index) => value / floor.cpuUs[index]!))),
  })
  return {
    ...figures(full),
    floorUs: round(median(floor.cpuUs), 1),
    withoutPolicyAndAudit: figures(bare),
    exchangesPerSecond: Math.round(median(full.perSecond)),
    p50Ms: round(percentile(full.times, 0.5)),
    p99Ms: round(percentile(full.times, 0.99)),
    rounds: full.cpuUs.length,
  }
}

async function measure(subject: Subject): Promise<void> {
  const { cpuUs, seconds, times } = await sendRound(subject)
  subject.cpuUs.push(cpuUs / REQUESTS_A_ROUND)
  subject.perSecond.push(REQUESTS_A_ROUND / seconds)
  subject.times.push(...times)
}

/** One round in which nothing was refused. */
async function sendRound({ child }: Subject) {
  for (let attempt = 1; ; attempt += 1) {
    const requests = prepare(child)
    const before = await child.cpuUs()
    const start = performance.now()
    try {
      const times = await sendAll(child.url, requests)
      const seconds = (performance.now() - start) / 1000
      return { cpuUs: (await child.cpuUs()) - before, seconds, times }
    } catch (error) {
      if (!(error instanceof Busy) || attempt === TRIES_A_ROUND) throw error
    }
  }
}

function prepare({ url, extra }: Child): TokenRequest[] {
  const { proofUrl, svids } = extra
  return makeTokenRequests(REQUESTS_A_ROUND, {
    url: proofUrl ?? url,
    svids: svids === undefined ? ['none'] : svids.split(' '),
  })
}
