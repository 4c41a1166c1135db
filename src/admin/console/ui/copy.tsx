import { useEffect, useState } from 'preact/hooks'
import { Icon } from './icon.tsx'

const SAID_MS = 2_000

export function CopyButton({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState<'' | 'copied' | 'failed'>('')
  useEffect(() => {
    if (said === '') return
    const timer = setTimeout(() => setSaid(''), SAID_MS)
    return () => clearTimeout(timer)
  }, [said])
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => setSaid('copied'),
      () => setSaid('failed'),
    )
  return (
    <button
      type="button"
      class="button quiet icon slim"
      aria-label={`Copy ${what}`}
      title={`Copy ${what}`}
      onClick={copy}
    >
      <Icon name={said === 'copied' ? 'check' : 'copy'} size={16} />
      <span class="hidden" role="status">
        {said === 'copied' ? 'Copied' : said === 'failed' ? 'The browser did not allow it' : ''}
      </span>
    </button>
  )
}

/** The same thing as a command, for whoever would rather type or script it. */
export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      <code>{text}</code>
      <CopyButton text={text} what="the command" />
    </div>
  )
}
