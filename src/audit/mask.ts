/**
 * The last line of defence against credentials in the audit log.
 *
 * Records are built from named fields that hold none; this finds what should never have come here:
 * a compact JWS or JWE, or a value after `Bearer` or `DPoP`. It works on the finished JSON line,
 * where a masked value stays valid JSON, and takes time linear in the line's length.
 */
const MASK = '[masked]'
const MIN_SEGMENT = 8
const SCHEME = /\b(bearer|dpop)((?:[\s:=]|\\[tnr])+)([A-Za-z0-9._~+/-]{16,}=*)/gi

/** The line with everything that looks like a credential replaced by `[masked]`. */
export function maskCredentials(line: string): string {
  return maskTokens(line).replace(SCHEME, `$1$2${MASK}`)
}

/** Every JOSE header is a JSON object, so every compact token begins with the encoding of `{"`. */
function maskTokens(line: string): string {
  let masked = ''
  let kept = 0
  let from = line.indexOf('eyJ')
  while (from !== -1) {
    const end = tokenEnd(line, from)
    if (end === undefined) {
      // Whatever starts later in the same run ends where this one did: skip the run as a whole.
      from = line.indexOf('eyJ', runEnd(line, from))
      continue
    }
    masked += line.slice(kept, from) + MASK
    kept = end
    from = line.indexOf('eyJ', end)
  }
  return kept === 0 ? line : masked + line.slice(kept)
}

/** Where the token that starts here ends; `undefined` when there are fewer than three segments. */
function tokenEnd(line: string, from: number): number | undefined {
  let end = runEnd(line, from)
  let segments = 1
  while (line[end] === '.') {
    const next = runEnd(line, end + 1)
    // An encrypted token may have an empty second segment, and a detached one too.
    segments += 1
    end = next
  }
  return segments >= 3 && end - from >= 3 * MIN_SEGMENT ? end : undefined
}

function runEnd(line: string, from: number): number {
  let at = from
  while (at < line.length && isBase64url(line.charCodeAt(at))) at += 1
  return at
}

function isBase64url(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2d ||
    code === 0x5f
  )
}
