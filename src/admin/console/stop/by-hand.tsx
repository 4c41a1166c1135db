import { useEffect, useState } from 'preact/hooks'
import type { Target } from '../api/types.ts'
import { SelectField, TextField } from '../ui/field.tsx'
import { KIND_HINT, KIND_TEXT, targetOf } from './target-text.ts'

const KINDS = Object.entries(KIND_TEXT) as [Target['kind'], string][]

/** A target that is typed, for what no session on the screen stands for. */
export function ByHand({ onTargets }: { onTargets: (targets: readonly Target[]) => void }) {
  const [kind, setKind] = useState<Target['kind']>('agent')
  const [value, setValue] = useState('')
  const [principal, setPrincipal] = useState('')
  const wrong = wrongOf(kind, value)
  useEffect(() => {
    if (value.trim() === '' || wrong !== undefined) onTargets([])
    else {
      const target = targetOf(kind, value)
      const whom = principal.trim()
      onTargets([kind === 'agent' && whom !== '' ? { ...target, principal: whom } : target])
    }
  }, [kind, value, principal])
  return (
    <>
      <SelectField
        label="What"
        value={kind}
        options={KINDS}
        onValue={(next) => {
          setKind(next as Target['kind'])
          setValue('')
        }}
      />
      <TextField
        key={kind}
        label={KIND_TEXT[kind]}
        hint={KIND_HINT[kind]}
        value={value}
        onValue={setValue}
        type={kind === 'before' ? 'datetime-local' : 'text'}
        wrong={value === '' ? undefined : wrong}
      />
      {kind === 'agent' && (
        <TextField
          label="Only when acting for (optional)"
          hint="A principal. Without it, whoever the agent acts for."
          value={principal}
          onValue={setPrincipal}
        />
      )}
    </>
  )
}

function wrongOf(kind: Target['kind'], value: string): string | undefined {
  try {
    targetOf(kind, value)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}
