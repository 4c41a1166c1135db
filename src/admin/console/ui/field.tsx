import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'

interface FieldProps {
  readonly label: string
  readonly hint?: string
  readonly wrong?: string | undefined
  readonly look?: string
  readonly children: (ids: {
    readonly id: string
    readonly 'aria-describedby'?: string
    readonly 'aria-invalid'?: 'true'
  }) => ComponentChildren
}

/** A control with its label, what helps to fill it in, and what is wrong with what is in it. */
export function Field({ label, hint, wrong, look = '', children }: FieldProps) {
  const id = useId()
  const said = wrong !== undefined || hint !== undefined
  return (
    <div class={`field ${look}`}>
      <label for={id}>{label}</label>
      {children({
        id,
        ...(said ? { 'aria-describedby': `${id}-said` } : {}),
        ...(wrong === undefined ? {} : { 'aria-invalid': 'true' as const }),
      })}
      {said && (
        <span id={`${id}-said`} class={wrong === undefined ? 'hint' : 'wrong'}>
          {wrong ?? hint}
        </span>
      )}
    </div>
  )
}

interface TextProps {
  readonly label: string
  readonly value: string
  readonly onValue: (value: string) => void
  readonly hint?: string
  readonly wrong?: string | undefined
  readonly placeholder?: string
  readonly list?: readonly string[]
  readonly type?: 'text' | 'datetime-local'
  readonly required?: boolean
  readonly look?: string
}

export function TextField({ label, value, onValue, hint, wrong, look, list, ...rest }: TextProps) {
  const listId = useId()
  const suggestions = list === undefined ? {} : { list: listId }
  // The types of preact have it that only some inputs have a list.
  const own = { ...rest, ...suggestions } as { readonly type?: 'text' }
  return (
    <Field label={label} {...optional({ hint, wrong, look })}>
      {(ids) => (
        <>
          <input
            {...ids}
            {...own}
            value={value}
            autoComplete="off"
            spellcheck={false}
            onInput={(event) => onValue(event.currentTarget.value)}
          />
          {list !== undefined && (
            <datalist id={listId}>
              {list.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  )
}

interface SelectProps {
  readonly label: string
  readonly value: string
  readonly onValue: (value: string) => void
  readonly options: readonly (readonly [value: string, text: string])[]
  readonly look?: string
  readonly hint?: string
}

export function SelectField({ label, value, onValue, options, look, hint }: SelectProps) {
  return (
    <Field label={label} {...optional({ hint, look })}>
      {(ids) => (
        <select {...ids} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
          {options.map(([each, text]) => (
            <option key={each} value={each} selected={each === value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

/** Without the members that are undefined. */
function optional<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as never
}

/** Leads to the first field of a form that is wrong, once it is marked. */
export function focusWrong(form: HTMLFormElement | null): void {
  setTimeout(() => form?.querySelector<HTMLElement>('[aria-invalid]')?.focus())
}
