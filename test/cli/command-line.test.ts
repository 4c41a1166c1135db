import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { temporaryDirectory, writ } from './writ.ts'

const cwd = await temporaryDirectory({ after })

const WRONG: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['no command', [], /no command was given/],
  ['an unknown command', ['bogus'], /unknown command 'bogus'/],
  ['half a command', ['keys'], /a subcommand is missing/],
  ['an unknown option', ['keys', 'new', '--wrong'], /unknown option '--wrong'/],
  ['a missing argument', ['revoke'], /missing required argument 'target'/],
  ['too many arguments', ['token', 'inspect', 'a', 'b'], /too many arguments/],
  ['no such configuration', ['serve', '--config', 'no.yaml'], /no\.yaml: .*ENOENT/],
  ['a wrong algorithm', ['keys', 'new', '--directory', 'k', '--algorithm', 'HS256'], /HS256/],
  [
    'a wrong duration',
    ['keys', 'rotate', '--directory', 'k', '--publish', '5'],
    /"5" is no duration/,
  ],
  ['keys that are not there', ['keys', 'rotate', '--directory', 'k'], /run writ keys new/],
  ['no kind of target', ['revoke', 'bot'], /"bot" is no target/],
  ['an unknown kind of target', ['revoke', 'planet:1'], /"planet:1" is no target/],
  ['an agent that has no id', ['revoke', 'agent:bot'], /"bot" is no SPIFFE ID/],
  ['a star in the middle', ['revoke', 'agent:spiffe://a.test/*/b'], /only \/\* at the end/],
  ['a star after letters', ['revoke', 'agent:spiffe://a.test/b*'], /only \/\* at the end/],
  ['a star for a principal', ['revoke', 'principal:user/*'], /only \/\* at the end/],
]

for (const [name, args, message] of WRONG) {
  test(`${name} is a usage error, told to people`, async () => {
    const { code, stdout, stderr } = await writ(args, { cwd })
    assert.equal(code, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /^writ: error: [^A-Z]/)
    assert.match(stderr, message)
    assert.ok(!stderr.includes('    at '), 'no stack')
  })

  if (args.length === 0) continue
  test(`${name} is a usage error, told to programs as one object`, async () => {
    const ended = await writ([...args, '--json'], { cwd })
    assert.equal(ended.code, 2)
    assert.equal(ended.stderr, '')
    const { ok, error } = ended.json() as { ok: boolean; error: { code: string; message: string } }
    assert.equal(ok, false)
    assert.match(error.code, /^(usage|configuration)$/)
    assert.match(error.message, message)
  })
}

test('what a terminal would obey is shown instead, to people and in JSON', async () => {
  const name = 'x\u001b[2J\u009b1m\u202e\u{e0001}.yaml'
  const people = await writ(['serve', '--config', name], { cwd })
  assert.match(people.stderr, /x\\u\{1b\}\[2J\\u\{9b\}1m\\u\{202e\}\\u\{e0001\}\.yaml/)
  const programs = await writ(['serve', '--config', name, '--json'], { cwd })
  for (const text of [people.stderr, programs.stdout]) {
    assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
  }
  const { message } = programs.json().error as { message: string }
  assert.ok(message.includes(name), 'a program is told what it is')
})

test('help is an answer, with an example', async () => {
  for (const args of [['--help'], ['keys', 'new', '--help'], ['revoke', '-h']]) {
    const { code, stdout, stderr } = await writ(args, { cwd })
    assert.equal(code, 0)
    assert.equal(stderr, '')
    assert.match(stdout, /^Usage: writ/)
    assert.match(stdout, /Example:\n {2}writ /)
  }
})

test('SIGHUP does not end a broker that has only begun to start', async () => {
  // Sent as soon as the program does anything at all that can be seen.
  const signalled = `
    const { on } = process.stdout
    process.stdout.on = function (...listener) {
      process.kill(process.pid, 'SIGHUP')
      return on.apply(this, listener)
    }`
  const nodeArguments = ['--import', `data:text/javascript,${encodeURIComponent(signalled)}`]
  const ended = await writ(['serve', '--config', 'no.yaml'], { cwd, nodeArguments })
  assert.deepEqual([ended.code, /no\.yaml/.test(ended.stderr)], [2, true])
})

test('the version is that of the package', async () => {
  const { version } = JSON.parse(
    await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  )
  const { stdout } = await writ(['--version'], { cwd })
  assert.equal(stdout, `writ ${version} (Node ${process.versions.node})\n`)
  const node = process.versions.node
  assert.deepEqual((await writ(['--version', '--json'], { cwd })).json(), {
    ok: true,
    version,
    node,
  })
})

test('an older Node is told what is missing, before anything else is loaded', async () => {
  const older = `Object.defineProperty(process, 'versions', { value: { node: '22.4.0' } })`
  const nodeArguments = ['--import', `data:text/javascript,${encodeURIComponent(older)}`]
  const people = await writ(['--help'], { cwd, nodeArguments })
  assert.equal(people.code, 2)
  assert.match(
    people.stderr,
    /^writ: error: needs Node 24\.15 or newer, this is 22\.4\.0\nwrit: hint: /,
  )
  const programs = await writ(['--help', '--json'], { cwd, nodeArguments })
  assert.equal(programs.code, 2)
  assert.equal(programs.json().ok, false)
})
