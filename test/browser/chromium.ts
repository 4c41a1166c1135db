// The system's Chromium with an empty profile, its virtual authenticator, and what it must not report.
import { execFileSync } from 'node:child_process'
import {
  type Browser,
  type BrowserContext,
  type CDPSession,
  chromium,
  type Page,
} from 'playwright-core'
import { requireProgram } from '../support/programs.ts'
import { PATIENCE_MS } from './until.ts'

/** For node:test's `{ skip }`. */
export const skipWithoutChromium = requireProgram(
  'chromium',
  'install Chromium (apt-get install chromium)',
)

/** How many times slower the pages run than this machine would have it; 1 is as fast as it goes. */
const SLOWDOWN = Number(process.env.WRIT_BROWSER_SLOWDOWN ?? 1)
if (!(SLOWDOWN >= 1)) {
  throw new Error('WRIT_BROWSER_SLOWDOWN is how many times slower: a number from 1')
}

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export async function startChromium(): Promise<Browser> {
  const executablePath = execFileSync('sh', ['-c', 'command -v chromium'], {
    encoding: 'utf8',
  }).trim()
  return chromium.launch({ executablePath, headless: true, args: ARGS })
}

export interface Tab {
  readonly context: BrowserContext
  readonly page: Page
  /** What the content security policy stopped, and what the page complained of. */
  readonly complaints: string[]
}

export interface TabOptions {
  readonly colorScheme?: 'dark' | 'light'
  readonly width?: number
  readonly height?: number
  /** A phone: touch, a narrow screen, sharp pixels. */
  readonly phone?: boolean
}

/** A browser of one person: cookies of its own, and a passkey device that is always touched. */
export async function openTab(browser: Browser, options: TabOptions = {}): Promise<Tab> {
  const { colorScheme = 'dark', width = 1360, height = 860, phone = false } = options
  const context = await browser.newContext({
    colorScheme,
    viewport: phone ? { width: 390, height: 844 } : { width, height },
    ...(phone ? { hasTouch: true, isMobile: true } : {}),
    // Sharp in the README, at half the size of twice the pixels.
    deviceScaleFactor: 1.5,
    reducedMotion: 'reduce',
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  context.setDefaultTimeout(PATIENCE_MS)
  context.setDefaultNavigationTimeout(PATIENCE_MS)
  const page = await context.newPage()
  const complaints: string[] = []
  await context.exposeFunction('__complain', (text: string) => complaints.push(text))
  await context.addInitScript(
    `addEventListener('securitypolicyviolation', (e) =>
       __complain('csp: ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample))`,
  )
  await context.addInitScript(KEEP_WHAT_IS_SAID)
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`))
  page.on('console', (message) => {
    if (message.type() !== 'error') return
    // A refusal that the page shows to people is none of its own faults.
    if (message.text().startsWith('Failed to load resource')) return
    complaints.push(`console: ${message.text()}`)
  })
  const session = await context.newCDPSession(page)
  await addAuthenticator(session)
  if (SLOWDOWN > 1) await session.send('Emulation.setCPUThrottlingRate', { rate: SLOWDOWN })
  return { context, page, complaints }
}

/** What is said in passing is gone before a slow machine looks: see `untilSaid`. */
const KEEP_WHAT_IS_SAID = `
  window.said_ = []
  new MutationObserver(() => {
    const text = document.querySelector('.toast')?.textContent ?? ''
    if (text !== '' && text !== said_.at(-1)) said_.push(text)
  }).observe(document, { subtree: true, childList: true, characterData: true })`

async function addAuthenticator(session: CDPSession): Promise<void> {
  await session.send('WebAuthn.enable')
  await session.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  })
}
