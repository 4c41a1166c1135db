import type { ComponentChildren } from 'preact'
import { useNarrow } from './media.ts'
import { More } from './more.tsx'

export interface ListColumn<T> {
  readonly title: string
  readonly cell: (item: T) => ComponentChildren
  readonly width?: string
  readonly number?: boolean
  /** On a phone: the line that names the card, or beside it; the others follow with their titles. */
  readonly phone?: 'title' | 'aside' | 'none'
}

interface ListProps<T> {
  readonly caption: string
  readonly columns: readonly ListColumn<T>[]
  readonly items: readonly T[]
  readonly keyOf: (item: T) => string
  readonly more?: (() => void) | undefined
}

/** A table; on a phone a list of cards. */
export function List<T>(props: ListProps<T>) {
  const { caption, columns, items, keyOf, more } = props
  const narrow = useNarrow()
  return (
    <div class="card table-card">
      {narrow ? (
        <CardList {...props} />
      ) : (
        <table>
          <caption class="hidden">{caption}</caption>
          <colgroup>
            {columns.map(({ title, width }) => (
              <col key={title} style={width === undefined ? {} : { width }} />
            ))}
          </colgroup>
          <thead>
            <tr>
              {columns.map(({ title, number }) => (
                <th key={title} scope="col" class={number ? 'number' : ''}>
                  {title === '' ? <span class="hidden">Actions</span> : title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {items.map((item) => (
              <tr key={keyOf(item)}>
                {columns.map(({ title, cell, number }) => (
                  <td key={title} class={number ? 'number' : ''}>
                    {cell(item)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <More more={more} count={items.length} />
    </div>
  )
}

function CardList<T>({ caption, columns, items, keyOf }: ListProps<T>) {
  const rest = columns.filter(({ phone }) => phone === undefined)
  return (
    <ul class="cards" aria-label={caption}>
      {items.map((item) => (
        <li key={keyOf(item)}>
          {columns
            .filter(({ phone }) => phone === 'title')
            .map(({ title, cell }) => (
              <div key={title}>{cell(item)}</div>
            ))}
          {columns
            .filter(({ phone }) => phone === 'aside')
            .map(({ title, cell }) => (
              <div key={title}>{cell(item)}</div>
            ))}
          {rest.length > 0 && (
            <dl>
              {rest.map(({ title, cell }) => (
                <>
                  <dt key={`${title} title`}>{title}</dt>
                  <dd key={title}>{cell(item)}</dd>
                </>
              ))}
            </dl>
          )}
        </li>
      ))}
    </ul>
  )
}
