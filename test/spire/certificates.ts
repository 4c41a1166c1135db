/** Certificates that are not SPIRE's, made with OpenSSL when a test runs. */
import { join } from 'node:path'
import { run } from './child.ts'
import type { CertificateFiles } from './spire.ts'

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** A CA for some trust domain. */
export async function makeRoot(directory: string, trustDomain: string): Promise<CertificateFiles> {
  return await selfSigned(directory, 'root', [
    'basicConstraints=critical,CA:TRUE',
    'keyUsage=critical,keyCertSign,cRLSign',
    `subjectAltName=URI:spiffe://${trustDomain}`,
  ])
}

/** A certificate for 127.0.0.1, as a web server has one; it vouches for itself. */
export async function makeWebCertificate(directory: string): Promise<CertificateFiles> {
  return await selfSigned(directory, 'web', [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=serverAuth',
    'subjectAltName=IP:127.0.0.1',
  ])
}

async function selfSigned(
  directory: string,
  name: string,
  extensions: readonly string[],
): Promise<CertificateFiles> {
  const certificateFile = join(directory, `${name}.pem`)
  const keyFile = join(directory, `${name}.key.pem`)
  await run('openssl', [
    ...['req', '-x509', ...P256, '-days', '2', '-subj', `/CN=${name}`],
    ...['-config', '/dev/null', '-keyout', keyFile, '-out', certificateFile],
    ...extensions.flatMap((extension) => ['-addext', extension]),
  ])
  return { certificateFile, keyFile }
}
