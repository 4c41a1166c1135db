import type { Context } from 'koa'

/** No markup becomes script, and there is no trusted types policy because nothing needs one. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/**
 * What keeps other pages away from one of ours, here and in the console.
 *
 * @param allowed of what a browser asks people for or lets no page do unseen, what this page may do
 */
export function setPageHeaders(ctx: Pick<Context, 'set'>, allowed: readonly string[]): void {
  ctx.set({
    'Content-Security-Policy': POLICY,
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': [
      ...allowed.map((name) => `${name}=(self)`),
      ...['camera=()', 'microphone=()', 'geolocation=()'],
    ].join(', '),
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
  })
}
