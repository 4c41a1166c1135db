import { useState } from 'preact/hooks'
import { ask } from '../api/client.ts'
import type { Revocation } from '../api/types.ts'
import { By } from '../ui/by.tsx'
import { Command } from '../ui/copy.tsx'
import { TextField } from '../ui/field.tsx'
import type { Attempt } from '../ui/load.ts'
import { quoted } from '../ui/text.ts'
import { say } from '../ui/toast.tsx'
import { TouchDialog } from '../ui/touch-dialog.tsx'
import { targetText } from './target-text.ts'
import { touchFor } from './touch.ts'

interface UndoProps {
  readonly revocation: Revocation
  readonly onClose: () => void
}

/** What is stopped may go on: whoever copied this browser's sign-in must not get there. */
export function UndoDialog({
  revocation: { id, target, reason: why, by, byName },
  onClose,
}: UndoProps) {
  const [typed, setTyped] = useState('')
  const reason = typed.trim()
  const undo = async ({ signal, keyOf }: Attempt) => {
    const touch = await touchFor({ change: 'undo_revocation', revocation: id, reason }, signal)
    const path = `/revocations/${encodeURIComponent(id)}/undo`
    const idempotencyKey = keyOf([path, reason])
    await ask(path, { method: 'POST', body: { reason, touch }, idempotencyKey })
    say('Undone')
    if (!signal.aborted) onClose()
  }
  return (
    <TouchDialog
      title="Undo a revocation"
      button="Undo"
      whole={reason !== ''}
      action={undo}
      onClose={onClose}
    >
      {(asked) => (
        <>
          <section class="hits">
            <b class="wrap">{targetText(target)}</b>
            <span class="muted wrap">
              Stopped by <By id={by} name={byName} />: {why}
            </span>
            <span>It may get and use tokens again, unless another revocation hits it.</span>
          </section>
          <TextField
            label="Reason"
            required
            value={typed}
            onValue={setTyped}
            placeholder="Why it may go on"
            wrong={asked && reason === '' ? 'Say why: it is kept with the revocation' : undefined}
          />
          <Command text={`writ revocations undo ${quoted(id)} --reason ${quoted(reason || '…')}`} />
        </>
      )}
    </TouchDialog>
  )
}
