/** The building blocks of the schema: a type, and the words that complete "expected …". */
import { isIP } from 'node:net'
import { z } from 'zod'
import { isHttpsUrl, isIssuer, isResource, parseAddress } from './url.ts'

export const text = (expected: string) => z.string().min(1).describe(expected)
export const path = (what: string) => text(`the path of ${what}`)
export const secret = (expected: string) =>
  z.string().min(1).meta({ description: expected, secret: true })
export const integer = (min: number, max: number, unit: string) =>
  z.int().min(min).max(max).describe(`a whole number of ${unit} from ${min} to ${max}`)

export const issuer = z
  .string()
  .refine(isIssuer)
  .describe(
    'an https origin such as https://broker.example (http on loopback only), nothing after it',
  )
export const adminUrl = z
  .string()
  .refine((value) => isIssuer(value) && isIP(new URL(value).hostname.replace(/^\[|\]$/g, '')) === 0)
  .describe(
    'an https origin with a name, such as https://writ.example (http on localhost only); passkeys belong to names, not to addresses',
  )
export const resource = z
  .string()
  .refine(isResource)
  .describe('an https URL without a fragment (http on loopback only), in its canonical spelling')
export const address = z
  .string()
  .refine((value) => parseAddress(value) !== undefined)
  .describe('host:port, such as 127.0.0.1:4470 or [::1]:4470')
export const httpsUrl = (what: string) =>
  z.string().refine(isHttpsUrl).describe(`the https URL of ${what}, without user or fragment`)
export const trustDomain = z
  .string()
  .regex(/^[a-z0-9._-]{1,255}$/)
  .describe('a SPIFFE trust domain name such as corp.example')
export const spiffeId = z
  .string()
  .regex(/^spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)+$/)
  .refine((id) => !/\/\.{1,2}(\/|$)/.test(id))
  .describe('a SPIFFE ID with a path, such as spiffe://corp.example/agents/report-bot')
export const alias = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,39}$/)
  .describe('a short name of small letters, digits and hyphens; it becomes part of ids')
const NETWORK = 'an IP address, or a network such as 10.0.0.0/8'
const network = z.string().refine(isNetwork, { abort: true })
export const proxy = network
  // As src/token/client-cert.ts has it; here before any store is opened.
  .refine((value) => !value.endsWith('/0'), {
    error: 'means everybody, and whoever is believed can name any certificate; list the proxies',
  })
  .describe(NETWORK)
export const networks = (what: string) =>
  z.array(network.describe(NETWORK)).describe(`a list of ${what}`)

function isNetwork(value: string): boolean {
  const [host = '', bits, ...more] = value.split('/')
  const family = isIP(host)
  if (family === 0 || more.length > 0) return false
  // A zone, or an IPv4 address written as IPv6, would not match what a connection says of itself.
  if (host.includes('%') || /^::ffff:\d+\./i.test(host)) return false
  if (bits === undefined) return true
  return /^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
}
