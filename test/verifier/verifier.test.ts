import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Refusal } from '../../src/refusal.ts'
import type { VerifierOptions } from '../../src/verifier/options.ts'
import type { Outcome } from '../../src/verifier/request.ts'
import { createVerifier, type Verifier } from '../../src/verifier/verifier.ts'
import {
  AGENT,
  callMessage,
  claimsFor,
  ISSUER,
  mint,
  modern,
  options,
  RESOURCE,
  request,
  sender,
} from './rig.ts'

const closing: (() => Promise<void>)[] = []
after(async () => {
  for (const close of closing) await close()
})

async function verifierWith(overrides: Partial<VerifierOptions> = {}) {
  const made = await options(overrides)
  const verifier = createVerifier(made.options)
  closing.push(async () => {
    await verifier.close()
    await made.publisher.close()
  })
  await verifier.ready()
  return { ...made, verifier }
}

const right = () => request({ token: mint(claimsFor({})), message: callMessage() })

async function statusOf(verifier: Verifier, sent = right()): Promise<number | 'allowed'> {
  const outcome = await verifier.check(sent)
  return outcome.allowed ? 'allowed' : outcome.status
}

function refusalOf(outcome: Outcome) {
  assert.equal(outcome.allowed, false)
  return outcome as Outcome & { allowed: false }
}

test('an allowed request comes with the parsed message and its caller, not with the token', async () => {
  const { verifier } = await verifierWith()
  const claims = claimsFor({ args: { text: 'milk' } })
  const token = mint(claims)
  const outcome = await verifier.check(request({ token, message: callMessage({ text: 'milk' }) }))
  assert.ok(outcome.allowed)
  assert.deepEqual(outcome.message?.raw, callMessage({ text: 'milk' }))
  const { authInfo } = outcome
  assert.equal(authInfo.clientId, AGENT)
  assert.deepEqual(authInfo.scopes, ['mcp:action'])
  assert.equal(authInfo.expiresAt, claims.exp)
  assert.equal(authInfo.resource.href, RESOURCE)
  assert.equal(authInfo.extra.claims.sub, AGENT)
  assert.ok(!JSON.stringify(authInfo).includes(token.split('.')[2] ?? '-'))
})

test('what is allowed is recorded before it may run, and names who did what', async () => {
  const { verifier, records } = await verifierWith()
  const claims = claimsFor({ args: { text: 'milk' } }, { txn: 'task-1' })
  await verifier.check(request({ token: mint(claims), message: callMessage({ text: 'milk' }) }))
  assert.equal(records.length, 1)
  const [record] = records
  assert.deepEqual(
    { ...record, time: undefined, argumentsHash: undefined },
    {
      time: undefined,
      door: 'verifier',
      outcome: 'allowed',
      workload: AGENT,
      principal: AGENT,
      session: claims.sid,
      task: 'task-1',
      server: RESOURCE,
      method: 'tools/call',
      name: 'add_note',
      argumentsHash: undefined,
      jti: claims.jti,
      key: sender.jkt,
      address: '192.0.2.7',
    },
  )
})

test('a refusal is recorded with its reason and evidence, and without any credential', async () => {
  const { verifier, records } = await verifierWith()
  const token = mint(claimsFor({ args: { text: 'milk' } }))
  const sent = request({ token, message: callMessage({ text: 'beer' }) })
  assert.equal(await statusOf(verifier, sent), 403)
  assert.deepEqual(
    [records[0]?.outcome, records[0]?.reason, records[0]?.evidence],
    ['refused', 'action_mismatch', { part: 'arguments' }],
  )
  const text = JSON.stringify(records)
  for (const credential of [token, sent.headers('dpop')[0] ?? '-']) {
    for (const segment of credential.split('.')) assert.ok(!text.includes(segment))
  }
})

test('text of a caller cannot blow up a record', async () => {
  const { verifier, records } = await verifierWith()
  const name = 'n'.repeat(2000)
  await verifier.check(request({ token: mint(claimsFor({})), message: callMessage({}, name) }))
  assert.ok((records[0]?.name?.length ?? 0) < 600)
})

test('what cannot be recorded does not run', async () => {
  const sinks: VerifierOptions['audit'][] = [
    () => {
      throw new Error('disk full')
    },
    () => Promise.reject(new Error('disk full')),
    { record: () => Promise.reject(new Refusal({ code: 'audit_unavailable', detail: 'x' })) },
  ]
  for (const audit of sinks) {
    const { verifier } = await verifierWith({ audit })
    const outcome = refusalOf(await verifier.check(right()))
    assert.equal(outcome.status, 503)
    assert.ok(!JSON.stringify(outcome.body).includes('disk'))
  }
})

test('a file takes the records, one line each', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'writ-verifier-'))
  after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'audit.jsonl')
  const { verifier } = await verifierWith({ audit: { file } })
  assert.equal(await statusOf(verifier), 'allowed')
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  assert.equal(lines.length, 1)
  assert.equal(JSON.parse(lines[0] ?? '').outcome, 'allowed')
})

test('behind a proxy that rewrites paths, exactly the paths that were named are served', async () => {
  const { verifier, records } = await verifierWith({ paths: ['/', '/notes'] })
  const at = (path: string) => request({ token: mint(claimsFor({})), message: callMessage(), path })
  assert.equal(await statusOf(verifier, at('/')), 'allowed')
  assert.equal(await statusOf(verifier, at('/notes')), 'allowed')
  for (const path of ['/mcp', '/notes/', '/admin']) {
    assert.equal(await statusOf(verifier, at(path)), 404, path)
    assert.equal(records.at(-1)?.reason, 'path_refused')
  }
})

test('paths that no request can have are a TypeError', async () => {
  const { options: made, publisher } = await options()
  await publisher.close()
  for (const paths of [[], [''], ['mcp'], ['/mcp?x'], ['/mcp#x'], ['https://mcp.example/mcp']]) {
    assert.throws(() => createVerifier({ ...made, paths }), /paths/, String(paths))
  }
})

test('a resource without a path is served at the root alone', async () => {
  const resource = 'https://mcp.example'
  const { verifier } = await verifierWith({ resource })
  const sent = (path: string) => {
    const claims = claimsFor('session', { aud: resource })
    const message = { jsonrpc: '2.0', id: 1, method: 'ping' }
    return request({ token: mint(claims), message, path, proof: { url: `${resource}/` } })
  }
  assert.equal(await statusOf(verifier, sent('/')), 'allowed')
  assert.equal(await statusOf(verifier, sent('/mcp')), 404)
})

test('a part that breaks refuses, and says nothing about itself', async () => {
  const { verifier, records, ledger } = await verifierWith()
  ledger.spend = () => Promise.reject(new Error('secret host unreachable'))
  const outcome = refusalOf(await verifier.check(right()))
  assert.equal(outcome.status, 500)
  assert.ok(!JSON.stringify(outcome).includes('secret'))
  assert.equal(records[0]?.reason, 'unexpected')
})

test('a ledger that cannot answer is 503 with a time to come back', async () => {
  const { verifier, ledger } = await verifierWith()
  ledger.spend = () => Promise.reject(new Refusal({ code: 'ledger_unavailable', detail: 'x' }))
  const outcome = refusalOf(await verifier.check(right()))
  assert.equal(outcome.status, 503)
  assert.ok(outcome.headers.some(([name]) => name === 'retry-after'))
})

test('before it has heard what is revoked, and after it has stopped hearing, it refuses', async () => {
  const { options: made, publisher, ledger } = await options()
  const verifier = createVerifier(made)
  closing.push(() => verifier.close())
  assert.equal(await statusOf(verifier), 503)
  await verifier.ready()
  assert.equal(await statusOf(verifier), 'allowed')
  await publisher.close()
  const spentBefore = ledger.spent.length
  await new Promise((resolve) => setTimeout(resolve, 1200))
  assert.equal(await statusOf(verifier), 503)
  assert.equal(ledger.spent.length, spentBefore, 'a refusal out of doubt burns nothing')
})

test('with a nonce secret every proof needs a nonce, and one round is enough', async () => {
  const secret = Buffer.alloc(32, 7)
  const { verifier } = await verifierWith({ dpop: { nonceSecret: secret } })
  const token = mint(claimsFor({}))
  const outcome = refusalOf(await verifier.check(request({ token, message: callMessage() })))
  assert.equal(outcome.body.error, 'use_dpop_nonce')
  const nonce = outcome.headers.find(([name]) => name === 'dpop-nonce')?.[1] ?? ''
  assert.notEqual(nonce, '')
  const wrong = refusalOf(
    await verifier.check(request({ token, message: callMessage(), nonce: 'x'.repeat(32) })),
  )
  assert.equal(wrong.body.error, 'use_dpop_nonce')
  const allowed = await verifier.check(request({ token, message: callMessage(), nonce }))
  assert.ok(allowed.allowed)
  assert.ok(allowed.headers.some(([name]) => name === 'dpop-nonce'))
})

test('a nonce secret and definitions may be in files; until they are read everything is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'writ-verifier-'))
  after(() => rmSync(folder, { recursive: true }))
  const definitions = join(folder, 'catalogue.json')
  const secret = join(folder, 'nonce.secret')
  writeFileSync(definitions, JSON.stringify({ tools: [{ name: 'add_note', inputSchema: {} }] }))
  writeFileSync(secret, 's'.repeat(40), { mode: 0o600 })
  const { options: made, publisher } = await options({
    definitions: { file: definitions },
    dpop: { nonceSecretFile: secret },
  })
  const verifier = createVerifier(made)
  closing.push(async () => {
    await verifier.close()
    await publisher.close()
  })
  assert.equal(await statusOf(verifier), 503)
  await verifier.ready()
  assert.equal(await statusOf(verifier), 401)
})

test('a pin file of another server, or one that was altered, is refused at the start', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'writ-verifier-'))
  after(() => rmSync(folder, { recursive: true }))
  const tool = { name: 'add_note', inputSchema: { type: 'object' } }
  const wrong = {
    'another server': { resource: 'https://other.example/mcp', tools: [tool] },
    'is not the one that was pinned': { resource: RESOURCE, tools: [{ ...tool, hash: 'x' }] },
    'list "tools"': { resource: RESOURCE },
  }
  for (const [why, pin] of Object.entries(wrong)) {
    const file = join(folder, 'pin.json')
    writeFileSync(file, JSON.stringify(pin))
    const { options: made, publisher } = await options({ definitions: { file } })
    const verifier = createVerifier(made)
    await assert.rejects(verifier.ready(), new RegExp(why))
    await verifier.close()
    await publisher.close()
  }
})

test('ready says what is wrong, and can be tried again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'writ-verifier-'))
  after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'late.json')
  const { options: made, publisher } = await options({ definitions: { file } })
  const verifier = createVerifier(made)
  closing.push(async () => {
    await verifier.close()
    await publisher.close()
  })
  await assert.rejects(verifier.ready(), /late\.json/)
  assert.equal(await statusOf(verifier), 503)
  writeFileSync(file, JSON.stringify({ tools: [{ name: 'add_note', inputSchema: {} }] }))
  await verifier.ready()
  assert.equal(await statusOf(verifier), 403, 'the definition is another than the one of the token')
})

test('requests do not start a verifier over and over that could not start', async () => {
  const { options: made, publisher } = await options({ definitions: { file: '/nowhere/x.json' } })
  let opened = 0
  const ledger = { ...made.ledger, open: async () => void opened++ }
  const verifier = createVerifier({ ...made, ledger })
  closing.push(async () => {
    await verifier.close()
    await publisher.close()
  })
  await assert.rejects(verifier.ready(), /nowhere/)
  for (let i = 0; i < 5; i++) {
    assert.equal(await statusOf(verifier), 503)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.equal(opened, 1)
})

test('a legacy session id is good only for whom it was handed to', async () => {
  const { verifier } = await verifierWith()
  const ask = (method: string, headers = {}, sid?: string) => {
    const claims = claimsFor('session', sid === undefined ? {} : { sid })
    return verifier.check(
      request({ token: mint(claims), message: { jsonrpc: '2.0', id: 1, method }, headers }),
    )
  }
  const initialized = await ask('initialize')
  assert.ok(initialized.allowed)
  initialized.issuedSession('s-1')
  const listed = await ask('tools/list', { 'mcp-session-id': 's-1' })
  assert.ok(listed.allowed)
  const stolen = refusalOf(await ask('tools/list', { 'mcp-session-id': 's-1' }, 'sid-of-another'))
  assert.equal(stolen.status, 404)
  // Only an answer to initialize hands out a session.
  listed.issuedSession('s-2')
  assert.equal(refusalOf(await ask('tools/list', { 'mcp-session-id': 's-2' })).status, 404)
  // Nobody takes over a session by having its id handed out again.
  const other = await ask('initialize', {}, 'sid-of-another')
  assert.ok(other.allowed)
  other.issuedSession('s-1')
  assert.equal(
    refusalOf(await ask('tools/list', { 'mcp-session-id': 's-1' }, 'sid-of-another')).status,
    404,
  )
})

for (const [why, stop] of [
  ['expires', undefined],
  ['is revoked', 'revoke'],
  ['can no longer be checked', 'silence'],
] as const) {
  test(`a stream ends when its token ${why}`, async () => {
    const { verifier, publisher } = await verifierWith()
    const iat = Math.floor(Date.now() / 1000) - 1
    const claims = claimsFor('session', stop === undefined ? { iat, exp: iat + 3 } : {})
    const opened = await verifier.check(request({ token: mint(claims), method: 'GET' }))
    assert.ok(opened.allowed && opened.closing)
    assert.equal(opened.closing.aborted, false)
    const ended = new Promise((resolve) => opened.closing?.addEventListener('abort', resolve))
    if (stop === 'revoke') {
      const target = { kind: 'session', value: claims.sid } as const
      await publisher.revoke({ target, until: claims.exp, reason: 'test', by: 'test' })
    }
    if (stop === 'silence') await publisher.close()
    await ended
  })
}

test('a subscription of the newer era is a stream too, and a call is none', async () => {
  const { verifier } = await verifierWith()
  const listen = modern({ jsonrpc: '2.0', id: 1, method: 'subscriptions/listen' })
  const opened = await verifier.check(request({ token: mint(claimsFor('session')), ...listen }))
  assert.ok(opened.allowed && opened.closing)
  opened.ended()
  const called = await verifier.check(right())
  assert.ok(called.allowed)
  assert.equal(called.closing, undefined)
})

test('closing the verifier ends its streams', async () => {
  const { options: made, publisher } = await options()
  const verifier = createVerifier(made)
  await verifier.ready()
  const opened = await verifier.check(request({ token: mint(claimsFor('session')), method: 'GET' }))
  assert.ok(opened.allowed && opened.closing)
  await verifier.close()
  await publisher.close()
  assert.ok(opened.closing.aborted)
})

test('the metadata names the broker and is found at both paths', async () => {
  const { verifier } = await verifierWith()
  const metadata = verifier.metadata()
  assert.equal(metadata.resource, RESOURCE)
  assert.deepEqual(metadata.authorization_servers, [ISSUER])
  assert.equal(verifier.metadataPath, '/.well-known/oauth-protected-resource/mcp')
  assert.equal(verifier.metadataFor('GET', verifier.metadataPath), metadata)
  assert.equal(verifier.metadataFor('GET', '/.well-known/oauth-protected-resource'), metadata)
  assert.equal(verifier.metadataFor('POST', verifier.metadataPath), undefined)
  assert.equal(verifier.metadataFor('GET', '/mcp'), undefined)
})

test('options that cannot be right are a TypeError', async () => {
  const { options: good, publisher } = await options()
  await publisher.close()
  const wrong: [string, object][] = [
    ['issuer', { issuer: 'http://broker.example' }],
    ['resource', { resource: 'mcp.example' }],
    ['resource', { resource: 'https://mcp.example/mcp?x=1' }],
    ['ledger', { ledger: undefined }],
    ['definitions', { definitions: undefined }],
    ['definitions', { definitions: [{ name: 'a' }, { name: 'a' }] }],
    ['audit', { audit: undefined }],
    ['nonce', { dpop: { nonceSecret: Buffer.alloc(8) } }],
    ...['staleAfterMs', 'maxBodyBytes'].flatMap((name) =>
      [Number.NaN, Number.POSITIVE_INFINITY, 0, -1, '9'].map((value): [string, object] => [
        name,
        { [name]: value },
      ]),
    ),
    ['staleAfterMs', { staleAfterMs: 300_001 }],
    ['maxBodyBytes', { maxBodyBytes: 64 * 1024 * 1024 + 1 }],
  ]
  for (const [name, options] of wrong) {
    assert.throws(
      () => createVerifier({ ...good, ...options } as VerifierOptions),
      (error: unknown) => error instanceof TypeError && error.message.includes(name),
      name,
    )
  }
})
