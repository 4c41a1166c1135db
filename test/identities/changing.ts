// Trust domains whose bundles change while somebody looks, each out of another kind of source.
import { rename, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CA_PEM, LOOPBACK, startSite } from '../identity/https-site.ts'
import { type IssuerKey, makeKey } from '../identity/svids.ts'
import type { Made } from '../identity/x509-maker.ts'
import { EndpointServer } from '../spiffe/endpoint-server.ts'
import { authorityEntry, identityBy, makeAuthority } from './domain.ts'

/** What a bundle vouches with. */
export interface Contents {
  readonly sequence: number
  readonly keys: readonly IssuerKey[]
  readonly authorities: readonly Made[]
}

export interface Changing {
  readonly name: string
  /** The entry of the broker's configuration. */
  readonly trust: Record<string, unknown>
  /** Vouches for the source itself, and so stays. */
  readonly own: Made | undefined
  /** Published when resolved; when the broker knows, is another matter. */
  put(contents: Contents): Promise<void>
  /** The source does something wrong that must change nothing; `look` makes the broker look at it. */
  trouble(look: () => Promise<void>): Promise<void>
  /** Whether a broker that is told to reload has it when it has reloaded. */
  readonly onReload: boolean
}

type Hooks = { after(hook: () => Promise<void>): void }

const textOf = ({ sequence, keys, authorities }: Contents) =>
  JSON.stringify({
    spiffe_sequence: sequence,
    spiffe_refresh_hint: 5,
    keys: [...keys.map(({ jwk }) => jwk), ...authorities.map(authorityEntry)],
  })

async function byFile(name: string, directory: string, first: Contents): Promise<Changing> {
  const file = join(directory, `${name}.json`)
  let text = ''
  const put = async (contents: Contents) => {
    text = textOf(contents)
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }
  await put(first)
  return {
    name,
    trust: { spiffe: name, bundle: { file } },
    own: undefined,
    put,
    async trouble(look) {
      await writeFile(file, text.slice(0, text.length / 2))
      await look()
      await writeFile(`${file}.new`, text)
      await rename(`${file}.new`, file)
    },
    onReload: true,
  }
}

/** An endpoint that now and then fails, or answers what it answered at first. */
function answering(first: string) {
  const now = { text: first, instead: [] as ('failure' | 'past')[] }
  const listener: RequestListener = (_request, response) => {
    const instead = now.instead.shift()
    if (instead === 'failure') response.writeHead(503)
    response.end(instead === 'past' ? first : now.text)
  }
  const put = async (contents: Contents) => {
    now.text = textOf(contents)
  }
  const trouble = async (look: () => Promise<void>) => {
    now.instead.push('failure')
    await look()
    now.instead.push('past')
    await look()
    now.instead.length = 0
  }
  return { listener, put, trouble }
}

async function byWeb(t: Hooks, name: string, directory: string, first: Contents) {
  const { listener, put, trouble } = answering(textOf(first))
  const site = await startSite(t, listener)
  const caFile = join(directory, `${name}.ca`)
  await writeFile(caFile, CA_PEM)
  const endpoint = `${site.origin}/bundle`
  const bundle = { endpoint, profile: 'https_web', ca_file: caFile, allow_addresses: LOOPBACK }
  const trust = { spiffe: name, bundle }
  return { name, trust, own: undefined, put, trouble, onReload: true }
}

async function bySpiffe(t: Hooks, name: string, directory: string): Promise<Changing> {
  const own = makeAuthority(`endpoint of ${name}`)
  const first = textOf({ sequence: 1, keys: [], authorities: [own] })
  const { listener, put, trouble } = answering(first)
  const id = `spiffe://${name}/bundle`
  const server = createServer({ ...identityBy(own, id) }, listener)
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const bootstrapFile = join(directory, `${name}.bootstrap`)
  await writeFile(bootstrapFile, first)
  const bundle = {
    endpoint: `https://127.0.0.1:${(server.address() as AddressInfo).port}/bundle`,
    profile: 'https_spiffe',
    spiffe_id: id,
    bootstrap_file: bootstrapFile,
    allow_addresses: LOOPBACK,
  }
  return { name, trust: { spiffe: name, bundle }, own, put, trouble, onReload: true }
}

async function byStream(t: Hooks, name: string): Promise<Changing> {
  const api = await EndpointServer.create()
  await api.start()
  t.after(() => api.remove())
  // A message that names no domain at all would be no message.
  const bystander = makeAuthority('bystander').der
  const jwks = (keys: readonly IssuerKey[]) =>
    Buffer.from(JSON.stringify({ keys: keys.map(({ jwk: { use: _, ...jwk } }) => jwk) }))
  const said = ({ keys, authorities }: Contents) => ({
    jwtBundles: {
      bundles: {
        'spiffe://bystander.test': jwks([makeKey('ES256', 'bystander')]),
        ...(keys.length > 0 && { [`spiffe://${name}`]: jwks(keys) }),
      },
    },
    x509Bundles: {
      bundles: {
        'spiffe://bystander.test': bystander,
        ...(authorities.length > 0 && {
          [`spiffe://${name}`]: Buffer.concat(authorities.map(({ der }) => der)),
        }),
      },
    },
  })
  return {
    name,
    trust: { spiffe: name, bundle: { workload_api: api.socket } },
    own: undefined,
    put: async (contents) => api.say(said(contents)),
    async trouble() {
      const { x509Bundles } = api.script
      api.say({ x509Bundles: { bundles: { [`spiffe://${name}`]: Buffer.from('no DER') } } })
      // The broker hangs up and asks again: by then the truth is there.
      if (x509Bundles) api.script = { ...api.script, x509Bundles }
      await sleep(20)
    },
    onReload: false,
  }
}

/** One of each kind, none of which vouches for anybody in particular yet. */
export async function changingDomains(t: Hooks, directory: string): Promise<Changing[]> {
  // An emptied bundle is obeyed whatever its number, so the past that comes back is not an empty one.
  const past = { sequence: 1, keys: [makeKey('ES256', 'past')], authorities: [] }
  return [
    await byFile('file.test', directory, past),
    await byWeb(t, 'web.test', directory, past),
    await bySpiffe(t, 'spiffe.test', directory),
    await byStream(t, 'stream.test'),
  ]
}
