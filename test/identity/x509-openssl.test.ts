// OpenSSL in its strict mode is asked about every chain: what it refuses, we refuse; where we refuse
// more, the case names the rule. It knows no trust domains, so the authorities of all are given to it.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { requireProgram } from '../support/programs.ts'
import { temporaryDirectory } from './svids.ts'
import { BAD, type ChainCase, CORP, GOOD, OTHER } from './x509-cases.ts'
import { type Made, NOW, pem } from './x509-maker.ts'

/** Undefined when OpenSSL accepts; else what it says. */
async function opensslRefusal(folder: string, one: ChainCase): Promise<string | undefined> {
  const write = async (file: string, certificates: readonly Made[]) => {
    await writeFile(join(folder, file), certificates.map(pem).join(''))
    return join(folder, file)
  }
  const [leaf, ...rest] = one.chain
  if (leaf === undefined) throw new Error('an empty chain')
  const untrusted = rest.length === 0 ? [] : ['-untrusted', await write('untrusted.pem', rest)]
  const authorities = await write('authorities.pem', [CORP, OTHER, ...(one.authorities ?? [])])
  const options = [
    '-x509_strict',
    '-purpose',
    'sslclient',
    '-attime',
    String(NOW),
    '-no-CApath',
    '-no-CAstore',
  ]
  const command = [
    'verify',
    ...options,
    '-CAfile',
    authorities,
    ...untrusted,
    await write('leaf.pem', [leaf]),
  ]
  return await new Promise((resolve) => {
    execFile('openssl', command, (error, stdout, stderr) => {
      resolve(error === null ? undefined : `${stdout}${stderr}`)
    })
  })
}

const skip = requireProgram('openssl', 'install OpenSSL 3')

test('OpenSSL believes every SVID that we believe', { skip }, async (t) => {
  const folder = await temporaryDirectory(t)
  for (const one of GOOD) assert.equal(await opensslRefusal(folder, one), undefined, one.title)
})

test('what OpenSSL refuses we refuse; where we refuse more, a rule says so', {
  skip,
}, async (t) => {
  const folder = await temporaryDirectory(t)
  const wrong: string[] = []
  for (const one of BAD) {
    const refusal = await opensslRefusal(folder, one)
    const { title, stricter } = one
    if (refusal === undefined && stricter === undefined) wrong.push(`OpenSSL accepts: ${title}`)
    if (refusal !== undefined && stricter !== undefined) wrong.push(`${title}: ${refusal}`)
  }
  assert.deepEqual(wrong, [])
})
