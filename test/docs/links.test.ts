/** Every relative link of every page leads somewhere: to a file, and to a heading of it. */
import assert from 'node:assert/strict'
import { access, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { proseOf, ROOT, readPages } from './pages.ts'

/** As web hosts make them from headings. */
function anchorsOf(text: string): Set<string> {
  const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => heading ?? '')
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  )
}

const pages = await readPages()

test('there are pages', () => {
  assert.ok(pages.length > 15)
  for (const path of ['README.md', 'SECURITY.md', 'docs/design.md', 'src/verifier/README.md']) {
    assert.ok(
      pages.some((page) => page.path === path),
      path,
    )
  }
})

for (const page of pages) {
  test(`the links of ${page.path} lead somewhere`, async () => {
    // Link text may be a code span, so links are looked for in the whole page, blocks apart.
    const text = page.text.replace(/^```\w*\n.*?^```$/gms, '')
    for (const [, target = ''] of text.matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)) {
      if (/^[a-z][a-z+.-]*:/i.test(target)) continue
      const [file = '', anchor] = decodeURI(target).split('#')
      const path = file === '' ? join(ROOT, page.path) : join(ROOT, dirname(page.path), file)
      assert.ok(!relative(ROOT, path).startsWith('..'), `${target} leaves the repository`)
      await assert.doesNotReject(access(path), target)
      if (anchor === undefined || !path.endsWith('.md')) continue
      assert.ok(anchorsOf(await readFile(path, 'utf8')).has(anchor), `${target}: no such heading`)
    }
    // A link by reference that nothing defines is shown as it was typed.
    assert.doesNotMatch(proseOf(page), /\]\[[^\]]*\]/)
  })
}
