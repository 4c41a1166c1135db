/** The one style sheet of the sign-in pages: the console's look, without its size. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --card: #ffffff; --ink: #14171f; --soft: #565e6e; --line: #e2e5eb;
  --field: #858c9b; --accent: #4f46e5; --accent-ink: #ffffff; --accent-hover: #4338ca;
  --ring: #4740d4; --bad: #b4232a; --bad-ground: #fdeaea; --good: #0f6b43; --note: #f1f2f6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0b0c10; --card: #13151b; --ink: #e9ebf1; --soft: #9aa2b3; --line: #242833;
    --field: #666d7e; --accent: #5951ea; --accent-hover: #6b64f0; --ring: #a5b0ff;
    --bad: #ff9195; --bad-ground: #331517; --good: #5fd39a; --note: #1a1d25;
  }
}
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
body { margin: 0; background: var(--ground); color: var(--ink); }
main { min-height: 100vh; min-height: 100dvh; display: grid; align-content: center;
  justify-items: center; gap: 24px; padding: 24px 16px; }
.brand { margin: 0; display: flex; align-items: center; gap: 8px; font-weight: 650;
  letter-spacing: -0.01em; font-size: 1.125rem; }
.brand svg { width: 28px; height: 28px; }
.card { width: 100%; max-width: 440px; padding: 32px; border-radius: 12px; background: var(--card);
  border: 1px solid var(--line); box-shadow: 0 1px 2px rgb(15 23 42 / 6%), 0 16px 40px -16px rgb(15 23 42 / 18%); }
h1 { margin: 0 0 8px; font-size: 1.5rem; line-height: 1.25; letter-spacing: -0.02em; text-wrap: balance; }
h1:focus { outline: none; }
p { margin: 0 0 16px; }
.soft { color: var(--soft); }
dl { margin: 0 0 24px; padding: 16px; border-radius: 8px; background: var(--note); display: grid;
  grid-template-columns: auto 1fr; gap: 8px 16px; align-items: baseline; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; font-weight: 550; }
label { display: block; margin: 0 0 8px; font-weight: 550; }
input[type=text] { width: 100%; min-height: 48px; padding: 8px 16px; font: inherit; color: inherit;
  background: var(--ground); border: 1px solid var(--field); border-radius: 8px; margin: 0 0 16px; }
input.code { text-align: center; text-transform: uppercase; }
.code { font: 600 1.375rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  letter-spacing: .1em; }
button, .button { display: block; width: 100%; min-height: 48px; padding: 8px 16px; font: inherit;
  font-weight: 600; text-align: center; text-decoration: none; border-radius: 8px; cursor: pointer;
  border: 1px solid transparent; background: var(--accent); color: var(--accent-ink);
  transition: background-color .12s ease; }
button:hover, .button:hover { background: var(--accent-hover); }
button.quiet { margin-top: 8px; background: transparent; color: var(--ink); border-color: var(--line); }
button.quiet:hover { background: var(--note); }
button[disabled] { opacity: .55; cursor: progress; }
:is(button, .button, input, a):focus-visible { outline: 3px solid var(--ring); outline-offset: 2px; }
.status { margin: 16px 0 0; color: var(--soft); }
.status:empty { display: none; }
.bad { color: var(--bad); background: var(--bad-ground); border-radius: 8px; padding: 8px 16px; }
.good { color: var(--good); font-weight: 600; }
[hidden] { display: none !important; }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
@media (max-width: 480px) { .card { padding: 24px; } }
`
