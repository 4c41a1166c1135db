import { render } from 'preact'
import './styles/tokens.css'
import './styles/base.css'
import './styles/shell.css'
import './styles/controls.css'
import './styles/table.css'
import './styles/pages.css'
import { App } from './app.tsx'
import { startTheme } from './state/theme.ts'

startTheme()
render(<App />, document.getElementById('app')!)
