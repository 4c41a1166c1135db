import { useState } from 'preact/hooks'
import { ask } from '../api/client.ts'
import type { Revocation } from '../api/types.ts'
import { By } from '../ui/by.tsx'
import { Command } from '../ui/copy.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/field.tsx'
import { useAction } from '../ui/load.ts'
import { ProblemNote } from '../ui/state.tsx'
import { quoted } from '../ui/text.ts'
import { say } from '../ui/toast.tsx'
import { targetText } from './target-text.ts'

interface UndoProps {
  readonly revocation: Revocation
  readonly onClose: () => void
}

export function UndoDialog({ revocation: { id, target, reason: why, by }, onClose }: UndoProps) {
  const [reason, setReason] = useState('')
  const [asked, setAsked] = useState(false)
  const { busy, problem, run } = useAction()
  const undo = async () => {
    const path = `/revocations/${encodeURIComponent(id)}/undo`
    await ask(path, { method: 'POST', body: { reason: reason.trim() } })
    say('Undone')
    onClose()
  }
  const command = `writ revocations undo ${quoted(id)} --reason ${quoted(reason.trim() || '…')}`
  return (
    <Dialog title="Undo a revocation" onClose={onClose}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          setAsked(true)
          if (reason.trim() !== '' && !busy) run(undo)
        }}
      >
        <div class="dialog-body">
          <section class="hits">
            <b class="wrap">{targetText(target)}</b>
            <span class="muted wrap">
              Stopped by <By id={by} />: {why}
            </span>
            <span>It may get and use tokens again, unless another revocation hits it.</span>
          </section>
          <TextField
            label="Reason"
            required
            value={reason}
            onValue={setReason}
            placeholder="Why it may go on"
            wrong={
              asked && reason.trim() === '' ? 'Say why: it is kept with the revocation' : undefined
            }
          />
          <Command text={command} />
          {problem !== undefined && <ProblemNote problem={problem} />}
        </div>
        <div class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button main" disabled={busy}>
            {busy ? 'Undoing …' : 'Undo'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
