/** A broker's store over TLS, as the configuration says it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { openLedger } from '../../src/cli/store.ts'
import { loadConfig } from '../../src/config/config.ts'
import { altName, dns, leaf, type Made, pem, root } from '../identity/x509-maker.ts'
import { skipWithoutRedis as skip, startRedis } from '../support/redis.ts'

const seconds = Date.now() / 1000
const times = { notBefore: seconds - 600, notAfter: seconds + 3600 }
const authority = root({ ...times, subject: 'own authority' })
const other = root({ ...times, subject: 'another authority' })
const certificate = (name: string): Made =>
  leaf(authority, { ...times, extensions: { subjectAltName: altName([dns(name)]) } })
const keyPem = ({ keys }: Made): string =>
  keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()

const folder = mkdtempSync(join(tmpdir(), 'writ-store-tls-'))
after(() => rmSync(folder, { recursive: true, force: true }))
function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text, { mode: 0o600 })
  return join(folder, name)
}
const server = certificate('localhost')
const broker = certificate('broker.example')
const files = {
  ca: write('ca.pem', pem(authority)),
  otherCa: write('other.pem', pem(other)),
  certificate: write('broker.pem', pem(broker)),
  key: write('broker.key', keyPem(broker)),
  serverCertificate: write('server.pem', pem(server)),
  serverKey: write('server.key', keyPem(server)),
  garbage: write('garbage.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
  empty: write('empty.pem', '\n'),
}
const whole = {
  tls_ca_file: files.ca,
  tls_certificate_file: files.certificate,
  tls_key_file: files.key,
}

async function ledgerOf(url: string, tls: object) {
  const settings = {
    issuer: 'https://broker.example',
    trust: [{ spiffe: 'corp.example', bundle: { file: 'b.json' } }],
    servers: [{ resource: 'https://mcp.example/mcp', catalogue: 'c.json' }],
    policies: 'policies',
    store: { redis: { url, ...tls } },
  }
  return openLedger(
    await loadConfig({ file: write('writ.yaml', JSON.stringify(settings)), env: {} }),
  )
}

describe('the store of a broker', { skip }, () => {
  it('is reached by the certificates that the configuration names, and by no others', async (t) => {
    const redis = await startRedis(['--appendonly', 'yes'], {
      args: [
        ...['--tls-cert-file', files.serverCertificate, '--tls-key-file', files.serverKey],
        ...['--tls-ca-cert-file', files.ca],
      ],
      client: {
        ca: pem(authority),
        cert: pem(broker),
        key: keyPem(broker),
        servername: 'localhost',
      },
    })
    t.after(() => redis.stop())
    const url = `redis://localhost:${redis.port}`
    const ledger = await ledgerOf(url, whole)
    await ledger.open()
    await ledger.close()
    const refused: readonly [tls: object, says: RegExp][] = [
      [{ ...whole, tls_ca_file: files.otherCa }, /unable to verify|self.signed/],
      [{ tls_ca_file: files.ca }, /may not be used/],
      [{ tls: true }, /unable to verify|self.signed/],
      [{}, /may not be used/],
    ]
    for (const [tls, says] of refused) {
      const wrong = await ledgerOf(url, tls)
      await assert.rejects(wrong.open(), says)
      await wrong.close()
    }
  })

  const unusable: readonly [title: string, tls: object, says: RegExp][] = [
    ['is missing', { tls_ca_file: join(folder, 'nothing.pem') }, /nothing\.pem/],
    ['has no certificate', { tls_ca_file: files.empty }, /empty\.pem: expected certificates/],
    ['is no certificate', { tls_ca_file: files.garbage }, /garbage\.pem: expected certificates/],
    [
      'is the key of another certificate',
      { tls_certificate_file: files.serverCertificate, tls_key_file: files.key },
      /broker\.key is not the key of/,
    ],
  ]
  for (const [title, tls, says] of unusable) {
    it(`is not opened when a file for TLS ${title}`, async () => {
      await assert.rejects(ledgerOf('redis://localhost:1', tls), says)
    })
  }
})
