import { defineConfig } from 'vite'

// Builds the console (src/admin/console) to dist/console, from where the admin listener serves it.
export default defineConfig({
  root: 'src/admin/console',
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: '../../../dist/console',
    emptyOutDir: true,
    target: 'es2022',
    // A style or an image as `data:` would need a weaker content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
