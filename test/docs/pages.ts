/** The project's own pages: every Markdown file of the repository. */
import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Page {
  /** As in `docs/design.md`. */
  readonly path: string
  readonly text: string
}

const NOT_OURS = ['**/node_modules/**', '**/dist/**', '**/var/**', '.git/**']

export async function readPages(): Promise<Page[]> {
  const paths = globSync('**/*.md', { cwd: ROOT, exclude: NOT_OURS })
  return Promise.all(
    paths.sort().map(async (path) => ({ path, text: await readFile(join(ROOT, path), 'utf8') })),
  )
}

export interface Block {
  readonly language: string
  readonly code: string
  /** Where the code begins, counted from 1. */
  readonly line: number
}

/** The fenced blocks of a page. */
export function blocksOf({ text }: Page): Block[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
    language: match[1] ?? '',
    code: match[2] ?? '',
    line: text.slice(0, match.index).split('\n').length + 1,
  }))
}

/** The page without its fenced blocks and code spans. */
export function proseOf({ text }: Page): string {
  return text.replace(/^```\w*\n.*?^```$/gms, '').replace(/`[^`\n]*`/g, '')
}
