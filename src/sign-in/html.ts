/** HTML in which text can only be text. */
const KNOWN: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Markup; made by `html` alone. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** A template whose values are escaped, unless they are markup made by the same. */
export function html(parts: TemplateStringsArray, ...values: (string | Html | readonly Html[])[]) {
  let text = parts[0]!
  values.forEach((value, at) => {
    text += escaped(value) + parts[at + 1]!
  })
  return new Html(text)
}

function escaped(value: string | Html | readonly Html[]): string {
  if (value instanceof Html) return value.text
  if (typeof value !== 'string') return value.map(({ text }) => text).join('')
  return value.replace(/[&<>"']/g, (character) => KNOWN[character]!)
}
