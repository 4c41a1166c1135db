/** Lists for people: columns that fit the terminal, or 80 characters where there is none. */
import { printable } from './text.ts'

export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string
  /** What is left out first when a line is too long; `never` keeps it whole. */
  readonly cut: 'middle' | 'end' | 'never'
  readonly align?: 'right'
}

const GAP = 2
/** What a column is never made narrower than. */
const LEAST = 8
const STANDARD_WIDTH = 80
const SEGMENTS = new Intl.Segmenter('en', { granularity: 'grapheme' })
/** Characters that take two places on a terminal. */
const WIDE =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u

export function terminalWidth(): number {
  const { isTTY, columns } = process.stdout
  return isTTY && columns > 0 ? columns : STANDARD_WIDTH
}

/** A line of titles and a line for each row; values are made safe to show. */
export function columns<Row>(
  rows: readonly Row[],
  shown: readonly Column<Row>[],
  width = terminalWidth(),
): string {
  const cells = rows.map((row) => shown.map(({ value }) => printable(value(row))))
  const natural = shown.map(({ title }, i) =>
    Math.max(widthOf(title), ...cells.map((line) => widthOf(line[i] ?? ''))),
  )
  const widths = fit(natural, shown, width - GAP * (shown.length - 1))
  const line = (texts: readonly string[]) =>
    shown
      .map((column, i) => {
        const text = shorten(texts[i] ?? '', widths[i] ?? 0, column.cut)
        const space = ' '.repeat(Math.max(0, (widths[i] ?? 0) - widthOf(text)))
        return column.align === 'right' ? space + text : text + space
      })
      .join(' '.repeat(GAP))
      .trimEnd()
  return [line(shown.map(({ title }) => title)), ...cells.map(line)].join('\n')
}

/** Takes from the widest column that may be cut, until all fit or nothing more can be taken. */
function fit<Row>(
  natural: readonly number[],
  shown: readonly Column<Row>[],
  room: number,
): number[] {
  const widths = [...natural]
  const sum = () => widths.reduce((all, one) => all + one, 0)
  while (sum() > room) {
    let widest = -1
    for (const [i, { cut }] of shown.entries()) {
      const now = widths[i] ?? 0
      if (cut !== 'never' && now > LEAST && now > (widths[widest] ?? 0)) widest = i
    }
    if (widest < 0) break
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  return widths
}

/** At most so wide; what is left out is where the column says. */
export function shorten(text: string, width: number, cut: Column<unknown>['cut']): string {
  if (cut === 'never' || widthOf(text) <= width) return text
  const letters = [...SEGMENTS.segment(text)].map(({ segment }) => segment)
  if (cut === 'end') return `${take(letters, width - 1)}…`
  const head = Math.ceil((width - 1) / 2)
  const tail = take(letters.toReversed(), width - 1 - head)
  return `${take(letters, head)}…${[...SEGMENTS.segment(tail)]
    .map(({ segment }) => segment)
    .reverse()
    .join('')}`
}

function take(letters: readonly string[], width: number): string {
  let taken = ''
  let left = width
  for (const letter of letters) {
    left -= widthOf(letter)
    if (left < 0) break
    taken += letter
  }
  return taken
}

/** How many places it takes. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of SEGMENTS.segment(text)) width += WIDE.test(segment) ? 2 : 1
  return width
}

const UNITS = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
] as const

/** How long ago, or until when, as people say it; both in seconds since the epoch. */
export function when(seconds: number, now: number): string {
  const distance = Math.abs(now - seconds)
  const found = UNITS.find(([size]) => distance >= size)
  const said =
    found === undefined
      ? `${Math.round(distance)} s`
      : `${Math.floor(distance / found[0])} ${found[1]}`
  return seconds > now + 0.5 ? `in ${said}` : `${said} ago`
}
