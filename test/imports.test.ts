import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { dirname, join, normalize, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const src = join(dirname(fileURLToPath(import.meta.url)), '..', 'src')

const below = [
  'lib',
  'refusal.ts',
  'action',
  'token',
  'revocation',
  'ledger',
  'identity',
  'catalogue',
  'policy',
  'audit',
  'mint',
]

/**
 * What each folder may import besides itself and `node:`; an entry with a file name allows that file alone.
 * The order is lowest first. ARCHITECTURE names the same table.
 */
const table: Record<string, readonly string[]> = {
  lib: [],
  'refusal.ts': [],
  action: ['lib', 'refusal.ts', 'canonicalize'],
  token: ['lib', 'refusal.ts', 'action', 'jose'],
  // The promise of documents alone: the history is kept in some, whoever keeps them.
  revocation: ['lib', 'refusal.ts', 'token', 'ledger/documents.ts', 'jose'],
  ledger: ['lib', 'refusal.ts', 'revocation', 'ioredis'],
  identity: ['lib', 'refusal.ts', 'token', 'jose', '@peculiar/x509', 'reflect-metadata', 'undici'],
  spiffe: [
    'lib',
    'refusal.ts',
    'token',
    'identity',
    '@grpc/grpc-js',
    '@grpc/proto-loader',
    'undici',
  ],
  catalogue: ['lib', 'refusal.ts', 'action', 're2js', '@modelcontextprotocol/client'],
  policy: ['lib', 'refusal.ts', 'action', 'identity', 'catalogue', '@cedar-policy/cedar-wasm'],
  audit: ['lib', 'refusal.ts'],
  mint: ['lib', 'action', 'identity', 'token', 'jose'],
  sessions: ['lib', 'refusal.ts', 'token', 'revocation', 'ledger', 'audit'],
  'sign-in': [
    'lib',
    'refusal.ts',
    'token',
    'identity',
    'revocation',
    'ledger',
    'audit',
    'mint',
    'koa',
    'oidc-provider',
    '@simplewebauthn/server',
    'jose',
  ],
  admin: [
    ...below,
    'sessions',
    'sign-in',
    'koa',
    'zod',
    // The console, which runs in a browser.
    'preact',
    '@simplewebauthn/browser',
  ],
  exchange: [...below, 'sessions'],
  server: [...below, 'sessions', 'exchange', 'koa', 'oidc-provider', 'pino', 'prom-client', 'jose'],
  verifier: [
    'lib',
    'refusal.ts',
    'action',
    'token',
    'revocation',
    'ledger/ledger.ts',
    'ledger/memory.ts',
    'audit/record.ts',
    'audit/file.ts',
    'sessions/report.ts',
  ],
  agent: ['lib', 'refusal.ts', 'action', 'token'],
  config: ['lib', 'policy', 'zod', 'yaml'],
  cli: [
    ...below,
    'spiffe',
    'exchange',
    'server',
    'config',
    'verifier',
    'agent',
    'sessions',
    'sign-in',
    'admin',
    'commander',
    'koa',
    'pino',
  ],
}

/** Specifiers of every import and re-export, static or dynamic, types included. */
function importsOf(text: string): string[] {
  const found = [
    ...text.matchAll(/^(?:import|export)\b[^;'"]*?\bfrom\s+'([^']+)'/gm),
    ...text.matchAll(/^import\s+'([^']+)'/gm),
    ...text.matchAll(/\bimport\(\s*'([^']+)'/g),
  ]
  return found.map((match) => match[1] ?? '')
}

function packageOf(specifier: string): string {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '')
}

test('a folder imports itself, node: and what its row of the table names', async () => {
  const wrong: string[] = []
  let seen = 0
  for await (const file of glob('**/*.ts', { cwd: src })) {
    const folder = file.includes('/') ? file.slice(0, file.indexOf('/')) : file
    const allowed = table[folder]
    if (allowed === undefined) {
      wrong.push(`${file}: the folder has no row in the table`)
      continue
    }
    for (const specifier of importsOf(readFileSync(join(src, file), 'utf8'))) {
      seen += 1
      if (specifier.startsWith('node:')) continue
      if (!specifier.startsWith('.')) {
        if (!allowed.includes(packageOf(specifier))) wrong.push(`${file} imports ${specifier}`)
        continue
      }
      const target = relative(src, normalize(join(src, dirname(file), specifier)))
      const targetFolder = target.includes('/') ? target.slice(0, target.indexOf('/')) : target
      if (targetFolder === folder || allowed.includes(targetFolder) || allowed.includes(target))
        continue
      wrong.push(`${file} imports ${target}`)
    }
  }
  assert.ok(seen > 100, `only ${seen} imports were found: the test is not looking`)
  assert.deepEqual(wrong, [])
})
