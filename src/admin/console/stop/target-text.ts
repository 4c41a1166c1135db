import type { Target } from '../api/types.ts'
import { instant } from '../ui/time.tsx'

export const KIND_TEXT: Readonly<Record<Target['kind'], string>> = {
  agent: 'Agent',
  session: 'Session',
  key: 'Key',
  principal: 'Principal',
  task: 'Task',
  server: 'MCP server',
  issuer: 'Issuer',
  jti: 'Token',
  before: 'All issued before',
}

export const KIND_HINT: Readonly<Record<Target['kind'], string>> = {
  agent:
    'A workload id, as in spiffe://corp.example/agents/bot. With /* at its end: all beneath it.',
  session: 'The id of a session. Only this key of this agent.',
  key: "A key's thumbprint. An agent that makes a new key goes on.",
  principal: 'For whom agents act, as in user:staff:5f2c.',
  task: 'The label of a task: every agent that works on it.',
  server: "An MCP server's resource URI. Nobody gets or uses a token for it.",
  issuer: 'spiffe://<trust domain>, oidc:<alias> or user:<alias>: everybody it vouches for.',
  jti: "A token's jti. Only this one; cannot be undone.",
  before: 'Every token issued earlier, anybody’s; cannot be undone.',
}

/** What a revocation is about, as people say it. */
export function targetText({ kind, value, beneath, principal }: Target): string {
  if (kind === 'before') return instant(Number(value))
  const under = beneath ? `${value}/*` : value
  return principal === undefined || principal === value ? under : `${under} for ${principal}`
}
