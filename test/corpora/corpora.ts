import { run as agentdojo } from './agentdojo.ts'
import { run as dpop } from './dpop.ts'
import { run as dpopOverHttp } from './http.ts'
import { run as jcs } from './jcs.ts'
import { run as json } from './json.ts'
import { run as jsonSchema } from './json-schema.ts'
import type { CorpusResult } from './result.ts'
import { run as wycheproof } from './wycheproof.ts'
import { run as x509Limbo } from './x509-limbo.ts'

/** Which file of a corpora folder is read by what; one file may be read twice. */
export const CORPORA: readonly (readonly [
  file: string,
  run: (folder: string) => Promise<CorpusResult>,
])[] = [
  ['wycheproof-jws.json', wycheproof],
  ['x509-limbo.json', x509Limbo],
  ['dpop-cases.json', dpop],
  ['dpop-cases.json', dpopOverHttp],
  ['jcs-vectors.json', jcs],
  ['jsontestsuite.json', json],
  ['json-schema-2020-12.json', jsonSchema],
  ['agentdojo-banking.json', agentdojo],
]
