import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFile,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fileSink, openAuditLog } from '../../src/audit/file.ts'
import { type AuditRecord, told } from '../../src/audit/record.ts'
import { Refusal } from '../../src/refusal.ts'

let directory: string
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-audit-'))
})
after(() => rm(directory, { recursive: true }))

const record = (name: string): AuditRecord => ({
  time: '2026-11-01T00:00:00.000Z',
  door: 'token-exchange',
  outcome: 'issued',
  name,
})
const lines = async (file: string) =>
  (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '')
const isUnavailable = (error: unknown) =>
  error instanceof Refusal && error.reason.code === 'audit_unavailable'

test('a record is in the file when its promise resolves', async () => {
  const log = await openAuditLog({ directory, origin: 'broker.example:4470' })
  await log.record(record('one'))
  assert.deepEqual(JSON.parse((await lines(log.file))[0]!), record('one'))
  await log.close()
})

test('records keep their order and share flushes', async () => {
  const log = await openAuditLog({ directory, origin: 'order' })
  await Promise.all(Array.from({ length: 500 }, (_, i) => log.record(record(`${i}`))))
  const names = (await lines(log.file)).map((line) => JSON.parse(line).name)
  assert.deepEqual(
    names,
    Array.from({ length: 500 }, (_, i) => `${i}`),
  )
  await log.close()
})

test('each start of one origin has its own file, readable by its owner alone', async () => {
  const own = join(directory, 'own')
  const first = await openAuditLog({ directory: own, origin: '../../etc/x:1' })
  const second = await openAuditLog({ directory: own, origin: '../../etc/x:1' })
  assert.notEqual(first.file, second.file)
  const names = await readdir(own)
  assert.equal(names.length, 2)
  assert.equal((await stat(own)).mode & 0o777, 0o700)
  for (const name of names) {
    assert.match(name, /^etc-x-1\.\d{8}T\d{6}\.\d{3}Z\.\d+-[0-9a-f]{4}\.jsonl$/)
    assert.equal((await stat(join(own, name))).mode & 0o777, 0o600)
  }
  await Promise.all([first.close(), second.close()])
})

test('a line that a crash cut short is ended before the next record', async () => {
  const file = join(directory, 'cut.jsonl')
  await writeFile(file, `${JSON.stringify(record('whole'))}\n{"time":"2026-`)
  const sink = fileSink(file)
  await sink.record(record('next'))
  await sink.close()
  const found = await lines(file)
  assert.equal(found.length, 3)
  assert.equal(JSON.parse(found[0]!).name, 'whole')
  assert.equal(JSON.parse(found[2]!).name, 'next')
})

test('a whole last line gets no empty line after it', async () => {
  const file = join(directory, 'whole.jsonl')
  await appendFile(file, `${JSON.stringify(record('whole'))}\n`)
  const sink = fileSink(file)
  await sink.record(record('next'))
  await sink.close()
  assert.equal((await readFile(file, 'utf8')).split('\n').length, 3)
})

test('after a write fails nothing more is accepted until the log is reopened', async () => {
  const sink = fileSink('/dev/full')
  await assert.rejects(sink.record(record('lost')), isUnavailable)
  assert.match(sink.failure ?? '', /ENOSPC/)
  await assert.rejects(sink.record(record('later')), isUnavailable)
  await sink.close()
})

test('a record that was written but not flushed is no record, nor is what waited behind it', async () => {
  // A pipe takes what is written and cannot be flushed.
  const pipe = join(directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  const sink = fileSink(pipe)
  const first = assert.rejects(sink.record(record('unflushed')), isUnavailable)
  await new Promise((resolve) => setImmediate(resolve))
  const second = assert.rejects(sink.record(record('behind')), isUnavailable)
  await Promise.all([first, second])
  const reader = await open(pipe, 'r')
  const { buffer, bytesRead } = await reader.read(Buffer.alloc(4096), 0, 4096)
  assert.ok(!buffer.toString('utf8', 0, bytesRead).includes('behind'))
  await reader.close()
  await sink.close()
})

test('a record of which the disk takes only a part is no record', () => {
  // Beyond its limit a file takes what fits of a write, without an error, and of the next nothing.
  const script = `
    import { fileSink } from ${JSON.stringify(new URL('../../src/audit/file.ts', import.meta.url).href)}
    const sink = fileSink(${JSON.stringify(join(directory, 'limited.jsonl'))})
    const name = 'x'.repeat(100_000)
    const kept = () => sink.record({ time: '', door: '', outcome: 'event', name }).then(() => 'kept', ({ message }) => message)
    console.log(await kept(), await kept(), sink.failure)`
  const limited = `trap '' XFSZ; ulimit -f 8; exec "$0" --input-type=module -e "$1"`
  const said = execFileSync('sh', ['-c', limited, process.execPath, script], { encoding: 'utf8' })
  assert.equal(said, 'audit_unavailable audit_unavailable writing failed: EFBIG\n')
})

test('a credential that came into a record does not reach the file', async () => {
  const file = join(directory, 'masked.jsonl')
  const sink = fileSink(file)
  const token = `eyJhbGciOiJFUzI1NiJ9.${'p'.repeat(40)}.${'s'.repeat(86)}`
  await sink.record({ ...record('x'), evidence: { detail: `got ${token}` } })
  await sink.close()
  const [line] = await lines(file)
  assert.ok(!line!.includes('pppp') && JSON.parse(line!).evidence.detail === 'got [masked]')
})

test('a reopened log continues in a new file', async () => {
  const log = await openAuditLog({ directory, origin: 'again' })
  const first = log.file
  await log.record(record('before'))
  await log.reopen()
  await log.record(record('after'))
  assert.notEqual(log.file, first)
  assert.equal(JSON.parse((await lines(first))[0]!).name, 'before')
  assert.equal(JSON.parse((await lines(log.file))[0]!).name, 'after')
  await log.close()
})

test('a closed log accepts nothing, and what was submitted before is in it', async () => {
  const log = await openAuditLog({ directory, origin: 'closed' })
  const pending = log.record(record('last'))
  await log.close()
  await pending
  assert.equal((await lines(log.file)).length, 1)
  await assert.rejects(log.record(record('late')), isUnavailable)
})

const BURSTS: readonly (readonly [what: string, records: number, size: number, fit: number])[] = [
  ['records', 20_050, 1, 20_000],
  ['bytes', 12, 6 * 1024 * 1024, 10],
]
for (const [what, records, size, fit] of BURSTS) {
  test(`${what} that would wait without bound are refused, not queued, until there is room`, async () => {
    const log = await openAuditLog({ directory, origin: what })
    const one = record('x'.repeat(size))
    const outcomes = await Promise.allSettled(
      Array.from({ length: records }, () => log.record(one)),
    )
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    assert.equal(refused.length, records - fit)
    assert.ok(refused.every((outcome) => isUnavailable(outcome.reason)))
    await log.record(one)
    assert.equal((await lines(log.file)).length, fit + 1)
    await log.close()
    assert.equal(log.failure, 'the log is closed')
    await rm(log.file)
  })
}

test('a log is not written through a symbolic link', async () => {
  const link = join(directory, 'link.jsonl')
  await symlink(join(directory, 'target.jsonl'), link)
  assert.throws(() => fileSink(link), /cannot be opened for appending: ELOOP/)
})

test('a process killed while it writes loses nothing it was told is recorded', async () => {
  const program = `
    import { openAuditLog } from ${JSON.stringify(fileURLToPath(new URL('../../src/audit/file.ts', import.meta.url)))}
    const log = await openAuditLog({ directory: ${JSON.stringify(directory)}, origin: 'killed' })
    process.stdout.write(log.file + '\\n')
    for (let i = 0; ; i += 8) {
      await Promise.all(Array.from({ length: 8 }, (_, n) => log.record({ time: '', door: 'd', outcome: 'issued', name: String(i + n) })
        .then(() => process.stdout.write((i + n) + '\\n'))))
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let heard = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text: string) => {
    heard += text
    if (heard.length > 2000) child.kill('SIGKILL')
  })
  await once(child, 'close')
  const [file, ...acknowledged] = heard.slice(0, heard.lastIndexOf('\n')).split('\n')
  const kept = new Set(
    (await lines(file!)).flatMap((line) => {
      try {
        return [JSON.parse(line).name as string]
      } catch {
        return []
      }
    }),
  )
  assert.ok(acknowledged.length > 100)
  assert.deepEqual(
    acknowledged.filter((name) => !kept.has(name)),
    [],
  )
})

test('however many reopen a log at once, one file is open, and none when it is closed', async () => {
  const own = join(directory, 'turns')
  const log = await openAuditLog({ directory: own, origin: 'turns' })
  const open = async () => {
    const names = await readdir('/proc/self/fd')
    const links = names.map((name) => readlink(join('/proc/self/fd', name)).catch(() => ''))
    return (await Promise.all(links)).filter((file) => file.startsWith(own))
  }
  const all = [log.reopen(), log.reopen(), log.record(record('between')), log.reopen()]
  await Promise.all(all)
  assert.deepEqual(await open(), [log.file])
  const late = log.reopen()
  await log.close()
  await late
  assert.deepEqual(await open(), [])
  await assert.rejects(log.reopen(), /closed/)
  await assert.rejects(log.record(record('late')), isUnavailable)
})

test('what anybody can cause to be recorded is no longer than a record should be', () => {
  const { reason, evidence } = told({ code: 'x', detail: 'y'.repeat(10_000), at: 5 } as never)
  assert.deepEqual([reason, evidence?.at], ['x', 5])
  assert.equal(String(evidence?.detail).length, 513)
})
