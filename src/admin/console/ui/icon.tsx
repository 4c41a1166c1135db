const PATHS = {
  sessions: 'M3 12h4l3-8 4 16 3-8h4',
  revocations: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM5.7 5.7l12.6 12.6',
  audit: 'M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01',
  policies: 'M12 3 4 6v6c0 4.5 3.4 8 8 9 4.6-1 8-4.5 8-9V6Z',
  simulator: 'M7 5v14l11-7Z',
  catalogue: 'M4 7l8-4 8 4-8 4ZM4 12l8 4 8-4M4 17l8 4 8-4',
  identities: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21c0-4 3.6-6 8-6s8 2 8 6',
  keys: 'M15 12a4 4 0 1 1 0-8 4 4 0 0 1 0 8ZM12 11 4 19v2h3v-2h2v-2h2l2-2',
  health: 'M12 20s-8-4.7-8-10.5A4.5 4.5 0 0 1 12 7a4.5 4.5 0 0 1 8 2.5C20 15.3 12 20 12 20Z',
  people:
    'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20c0-3.5 3-5.5 6.5-5.5s6.5 2 6.5 5.5M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.9c2 .7 3.5 2.5 3.5 5.1',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM20 20l-4-4',
  copy: 'M9 9h11v11H9ZM15 9V4H4v11h5',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  close: 'M6 6l12 12M18 6 6 18',
  menu: 'M4 7h16M4 12h16M4 17h16',
  back: 'm14 6-6 6 6 6',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z',
  auto: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 3v18M12 8h7.5M12 13h9M12 18h6',
  warning: 'M12 4 2.5 20h19ZM12 10v4M12 17h.01',
  question: 'M9.2 9a3 3 0 1 1 4 2.8c-.9.4-1.2 1-1.2 2.2M12 17.5h.01',
  filter: 'M4 6h16M7 12h10M10 18h4',
  fingerprint:
    'M6 18c1-2 1.5-4 1.5-6a4.5 4.5 0 0 1 9 0c0 3-.4 5.5-1.3 8M12 12c0 3.5-.7 6.3-2.2 9M3.5 14c.3-.7.5-1.3.5-2a8 8 0 0 1 14-5.3M19.7 10c.3 1.3.3 4-.3 7',
} as const

export type IconName = keyof typeof PATHS

/** A drawing beside words; never the only thing that says what a control does. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
    >
      <path d={PATHS[name]} />
    </svg>
  )
}
