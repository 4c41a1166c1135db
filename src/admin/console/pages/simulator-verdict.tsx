import type { Decision } from '../api/types.ts'
import { Command } from '../ui/copy.tsx'
import { Icon } from '../ui/icon.tsx'
import { Empty } from '../ui/state.tsx'

const SAYS = {
  permit: ['Permitted', 'check'],
  ask: ['A person would be asked', 'question'],
  deny: ['Denied', 'close'],
} as const

export function Verdict({ decision }: { decision: Decision | undefined }) {
  return (
    <section class="card" aria-label="Verdict" aria-live="polite">
      {decision === undefined ? (
        <Empty title="No question yet">
          The answer, and the policies that gave it, appear here.
        </Empty>
      ) : (
        <>
          <div class={`verdict ${decision.effect}`}>
            <span class="mark">
              <Icon name={SAYS[decision.effect][1]} size={26} />
            </span>
            <div>
              <b>{SAYS[decision.effect][0]}</b>
              <span class="muted wrap">{because(decision)}</span>
            </div>
          </div>
          <Facts decision={decision} />
          {decision.command !== undefined && (
            <div class="pad">
              <Command text={decision.command} />
            </div>
          )}
        </>
      )}
    </section>
  )
}

function because({ policies, reason, effect }: Decision): string {
  if (reason !== undefined) return `Refused before any policy was asked: ${reason}`
  if (policies.length > 0) return `By ${policies.join(', ')}`
  return effect === 'deny' ? 'No policy permits it' : ''
}

function Facts({ decision }: { decision: Decision }) {
  const { policies, lifetimeSeconds, binding, maxUses, evidence, policyVersion } = decision
  const permitted = decision.effect === 'permit'
  return (
    <dl class="facts">
      {policies.length > 0 && (
        <>
          <dt>Policies</dt>
          <dd>
            {policies.map((id) => (
              <div key={id}>
                <a href="/policies">{id}</a>
              </div>
            ))}
          </dd>
        </>
      )}
      {permitted && lifetimeSeconds !== undefined && (
        <>
          <dt>Token lives</dt>
          <dd>{lifetimeSeconds} s</dd>
        </>
      )}
      {permitted && maxUses !== undefined && (
        <>
          <dt>May be used</dt>
          <dd>{maxUses === 1 ? 'once' : `${maxUses} times`}</dd>
        </>
      )}
      {permitted && binding !== undefined && (
        <>
          <dt>Bound by</dt>
          <dd>{binding === 'mtls' ? 'certificate' : binding}</dd>
        </>
      )}
      {evidence !== undefined && Object.keys(evidence).length > 0 && (
        <>
          <dt>Evidence</dt>
          <dd>
            <pre>{JSON.stringify(evidence, null, 2)}</pre>
          </dd>
        </>
      )}
      {policyVersion !== undefined && (
        <>
          <dt>Version</dt>
          <dd>
            <code>{policyVersion}</code>
          </dd>
        </>
      )}
    </dl>
  )
}
