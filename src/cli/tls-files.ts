import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import type { CertificateFiles } from '../config/config.ts'

/** PEM: a certificate with its intermediates, and its private key. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/** Changes whenever one of the files does. */
export async function stampOf({ certificateFile, keyFile }: CertificateFiles): Promise<string> {
  const parts: string[] = []
  for (const file of [certificateFile, keyFile]) {
    const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
    parts.push(`${ino}:${size}:${mtimeNs}:${ctimeNs}`)
  }
  return parts.join()
}

/** @throws {Error} naming the file; also when key and certificate do not belong together */
export async function readKeyPair({
  certificateFile,
  keyFile,
}: CertificateFiles): Promise<KeyPair> {
  const cert = await readFile(certificateFile, 'utf8')
  const key = await readFile(keyFile, 'utf8')
  const leaf = reading(certificateFile, 'a certificate in PEM', () => new X509Certificate(cert))
  const privateKey = reading(keyFile, 'a private key in PEM', () => createPrivateKey(key))
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new Error(`${keyFile} is not the key of ${certificateFile}`)
  }
  return { cert, key }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** The PEM text of one or more certificates. @throws {Error} naming the file */
export async function readCertificates(file: string): Promise<string> {
  const text = await readFile(file, 'utf8')
  const found = text.match(CERTIFICATE) ?? []
  // Node takes a file without any for "trust nobody", which says nothing of the mistake.
  if (found.length === 0) throw new Error(`${file}: expected certificates in PEM`)
  for (const each of found) {
    reading(file, 'certificates in PEM', () => new X509Certificate(each))
  }
  return text
}

/** Whether other users of this machine may read it, or more. Links are followed, as reading does. */
export async function isOpenToOthers(file: string): Promise<boolean> {
  return ((await stat(file)).mode & 0o077) !== 0
}

/** OpenSSL's words may quote what it read; ours name the file. */
function reading<T>(file: string, expected: string, read: () => T): T {
  try {
    return read()
  } catch {
    throw new Error(`${file}: expected ${expected}`)
  }
}
