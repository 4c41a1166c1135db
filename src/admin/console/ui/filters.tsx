/** What the bar above a list is made of. */
import { Icon } from './icon.tsx'

interface SearchProps {
  readonly label: string
  readonly placeholder: string
  readonly value: string
  readonly onValue: (value: string) => void
}

/** The field that `/` goes to. Escape empties it. */
export function SearchField({ label, placeholder, value, onValue }: SearchProps) {
  return (
    <div class="search">
      <Icon name="search" size={16} />
      <input
        data-filter=""
        type="text"
        aria-label={label}
        placeholder={placeholder}
        autoComplete="off"
        spellcheck={false}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return
          if (value === '') event.currentTarget.blur()
          onValue('')
        }}
      />
      <kbd>/</kbd>
    </div>
  )
}

interface ChoiceProps<V extends string> {
  readonly label: string
  readonly value: V
  /** With how many there are of it, where that is known. */
  readonly options: readonly (readonly [value: V, text: string, count?: number])[]
  readonly onValue: (value: V) => void
}

/** One of a few, all of them in sight. */
export function Segments<V extends string>({ label, value, options, onValue }: ChoiceProps<V>) {
  return (
    <fieldset class="segments" aria-label={label}>
      {options.map(([each, text, count]) => (
        <button
          key={each}
          type="button"
          aria-pressed={value === each}
          onClick={() => onValue(each)}
        >
          {text} {count !== undefined && <span class="count">{count.toLocaleString('en')}</span>}
        </button>
      ))}
    </fieldset>
  )
}

/** One of many. */
export function Choice<V extends string>({ label, value, options, onValue }: ChoiceProps<V>) {
  return (
    <select
      aria-label={label}
      value={value}
      onChange={(event) => onValue(event.currentTarget.value as V)}
    >
      {options.map(([each, text]) => (
        <option key={each} value={each} selected={value === each}>
          {text}
        </option>
      ))}
    </select>
  )
}

interface MoreProps {
  readonly open: boolean
  /** How many of the fields behind it hold something. */
  readonly used: number
  readonly onOpen: (open: boolean) => void
}

export function MoreButton({ open, used, onOpen }: MoreProps) {
  return (
    <button type="button" class="button" aria-expanded={open} onClick={() => onOpen(!open)}>
      <Icon name="filter" size={16} />
      More{used > 0 ? ` (${used})` : ''}
    </button>
  )
}
