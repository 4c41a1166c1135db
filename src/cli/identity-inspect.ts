import type { Command } from 'commander'
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { Refusal } from '../refusal.ts'
import { type Answer, CliError } from './answer.ts'
import { finish } from './command.ts'
import { KIND_NAMES, likelyKind, readCredential } from './credential.ts'
import { claimsOf, cut, keyLine, type Row, rowsOf } from './credential-claims.ts'
import { adviceOn } from './identity-advice.ts'
import type { Proven, Verdict } from './identity-verdict.ts'
import { readInput, refuseCredential } from './input.ts'
import { type ConfigOption, readConfig } from './settings.ts'
import { instant, messageOf, printable, table } from './text.ts'

export function addInspect(identity: Command): void {
  const inspect = identity
    .command('inspect')
    .argument('[file]', 'a file that holds the token or the certificates, or -', '-')
    .description('say what a token or certificate proves, and what a broker would make of it')
    .option(
      '--config <file>',
      'whose trust it is held against (WRIT_CONFIG); else nothing is verified',
    )
  finish(inspect, EXAMPLE, (options: ConfigOption, file = '-') =>
    inspectIdentity(options, file, Date.now() / 1000),
  )
}

const EXAMPLE = `writ identity inspect --config config/writ.yaml var/svid.jwt

Reads a JWT-SVID, a Kubernetes, GitHub or OpenID Connect token, a user's token, an ID-JAG, a delegation
token, a client's assertion, or certificates in PEM (the leaf first); from a file or standard input,
never as an argument. With a configuration it is verified as the broker would, which asks whom the
broker would ask, and spends nothing. Neither it nor its signature is ever printed.
Exit code 0: accepted, or nothing was verified. 1: refused, with what to do about it.`

/**
 * Says what a credential claims and, with a configuration, what it proves to this broker or why it
 * does not.
 *
 * @throws {CliError} refused when the input is no credential; {Refusal} `trust_unavailable`
 */
export async function inspectIdentity(
  options: ConfigOption,
  file: string,
  now: number,
): Promise<Answer> {
  refuseCredential(file)
  if (options.config !== undefined) refuseCredential(options.config)
  const credential = readCredential(await readInput(file))
  const claims = claimsOf(credential)
  const beside =
    credential.form === 'certificate' && credential.besideKey
      ? ['a private key stands beside it; it was not looked at, and nobody else needs it']
      : []
  if (options.config === undefined && process.env.WRIT_CONFIG === undefined) {
    const kind = likelyKind(credential)
    return {
      json: {
        kind,
        verified: false,
        accepted: null,
        claims,
        proven: null,
        refused: null,
        notes: beside,
      },
      text: [
        `${KIND_NAMES[kind]}. NOT VERIFIED: this is what it says, anyone could have written it.`,
        '',
        table(rowsOf(claims, now)),
        ...beside.map((note) => `note: ${note}`),
        'With --config, it is verified as the broker of that configuration would.',
      ].join('\n'),
    }
  }
  const config = await readConfig(options)
  // Loaded late: without a configuration nothing but reading is needed.
  const { describeProven, judge } = await import('./identity-verdict.ts')
  const verdict = await judge(credential, config, now)
  const notes = [...beside, ...verdict.notes]
  const { kind, proven } = verdict
  const refused = refusedOf(verdict)
  return {
    exitCode: proven === undefined ? 1 : 0,
    json: {
      kind,
      verified: true,
      accepted: proven !== undefined,
      claims,
      proven: proven === undefined ? null : safely(describeProven(proven)),
      refused: refused ?? null,
      notes,
    },
    text: [
      ...(proven === undefined
        ? sentenceOfRefusal(verdict, config.issuer)
        : [
            `${KIND_NAMES[kind]}. ${sentenceOf(proven, config.issuer)}`,
            '',
            table(provenRows(proven, now)),
          ]),
      '',
      proven === undefined ? 'What it claims:' : 'All that it claims:',
      table(rowsOf(claims, now)),
      ...notes.map((note) => `note: ${printable(note)}`),
    ].join('\n'),
  }
}

function refusedOf({ refused }: Verdict): JsonObject | undefined {
  if (refused === undefined) return undefined
  const { reason, detail } = refused
  const advice = adviceOn(reason)
  const evidence = Object.entries(reason).map(([name, value]) => [name, cut(String(value))])
  return {
    ...Object.fromEntries(evidence),
    ...(detail === undefined ? {} : { detail }),
    ...(advice === undefined ? {} : { advice }),
  }
}

function sentenceOfRefusal({ kind, refused }: Verdict, issuer: string): string[] {
  if (refused === undefined) throw new CliError('bug', 'nothing was proven, and nothing refused')
  const { reason, detail } = refused
  const advice = adviceOn(reason)
  const why = [cut(messageOf(new Refusal(reason))), detail].filter((part) => part !== undefined)
  return [
    printable(`${KIND_NAMES[kind]}. REFUSED by ${issuer}: ${why.join(': ')}`),
    ...(advice === undefined ? [] : [`what to do: ${advice}`]),
  ]
}

function sentenceOf(proven: Proven, issuer: string): string {
  const accepted = `Accepted by ${issuer}`
  switch (proven.kind) {
    case 'workload':
      return `${accepted}: it proves which workload its holder is.`
    case 'user':
      return `${accepted}: it speaks for a user, beside a proof of the workload that acts.`
    case 'delegation':
      return `${accepted}: one agent may go on with another's work, with its own proof and key.`
  }
}

function provenRows(proven: Proven, now: number): Row[] {
  switch (proven.kind) {
    case 'workload': {
      const { id, issuer, attributes, expiresAt } = proven.workload
      return [
        ['workload', cut(id)],
        ['vouched for by', issuer],
        ...attributeRows(attributes),
        ['proves until', instant(expiresAt, now)],
      ]
    }
    case 'user': {
      const { id, issuer, attributes, expiresAt, cnf, mayAct, clientId, resources } = proven.user
      return [
        ['principal', cut(id)],
        ['vouched for by', issuer],
        ...attributeRows(attributes),
        ['who may act', cut(clientId ?? mayAct ?? 'any workload that a policy permits')],
        ['only at', resources?.map(cut).join(', ')],
        ['only with', cnf === undefined ? undefined : keyLine({ ...cnf })],
        ['proves until', instant(expiresAt, now)],
      ]
    }
    case 'delegation': {
      const { sub, client_id, may_act, cnf, exp } = proven.delegation
      return [
        ['principal', cut(sub)],
        ['handed on by', cut(client_id)],
        ['who may act', cut(may_act.sub)],
        ['only with', keyLine({ ...cnf })],
        ['good until', instant(exp, now)],
      ]
    }
  }
}

/** What policies will see, name by name. */
function attributeRows(attributes: JsonObject): Row[] {
  return Object.entries(attributes).map(([name, value]) => [
    `attribute ${name}`,
    cut(Array.isArray(value) ? value.join(', ') : String(value)),
  ])
}

/** Values of a verified token are still values of a token. */
function safely(value: JsonObject): JsonObject {
  const text = JSON.stringify(value, (_, inner) => (typeof inner === 'string' ? cut(inner) : inner))
  const safe: unknown = JSON.parse(text)
  return isJsonObject(safe as JsonObject) ? (safe as JsonObject) : {}
}
