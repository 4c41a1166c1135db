// Real https servers on loopback, with a certificate authority of their own, made when a test runs.
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import * as x509 from '@peculiar/x509'

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
export const LOOPBACK = ['127.0.0.1/32']

const keyPair = () => webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
const validity = () => ({
  notBefore: new Date(Date.now() - 60_000),
  notAfter: new Date(Date.now() + 3_600_000),
})

const caKeys = await keyPair()
const ca = await x509.X509CertificateGenerator.createSelfSigned({
  name: 'CN=Writ test authority',
  ...validity(),
  signingAlgorithm: ECDSA,
  keys: caKeys,
  extensions: [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
  ],
})
const serverKeys = await keyPair()
const leaf = await x509.X509CertificateGenerator.create({
  subject: 'CN=localhost',
  issuer: ca.subjectName,
  ...validity(),
  signingAlgorithm: ECDSA,
  publicKey: serverKeys.publicKey,
  signingKey: caKeys.privateKey,
  extensions: [
    new x509.SubjectAlternativeNameExtension([
      { type: 'dns', value: 'localhost' },
      { type: 'dns', value: '*.writ.test' },
      { type: 'ip', value: '127.0.0.1' },
    ]),
  ],
})

/** Trusts the servers of this file. */
export const CA_PEM = ca.toString('pem')
export const LEAF_DER = Buffer.from(leaf.rawData)
const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', serverKeys.privateKey))
const KEY_PEM = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString('base64')}\n-----END PRIVATE KEY-----\n`

export interface Site {
  readonly server: Server
  readonly port: number
  /** `https://127.0.0.1:<port>`. */
  readonly origin: string
  /** Connections and requests so far. */
  readonly seen: { connections: number; requests: string[] }
}

/** Listens until the end of the test or file that `t` stands for. */
export async function startSite(
  t: { after(hook: () => Promise<void>): void },
  listener: RequestListener,
): Promise<Site> {
  const seen: Site['seen'] = { connections: 0, requests: [] }
  const server = createServer({ key: KEY_PEM, cert: leaf.toString('pem') }, (request, response) => {
    seen.requests.push(request.url ?? '')
    listener(request, response)
  })
  const open = new Set<Duplex>()
  server.on('connection', (socket) => {
    seen.connections += 1
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => undefined)
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    for (const socket of open) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { server, port, origin: `https://127.0.0.1:${port}`, seen }
}
