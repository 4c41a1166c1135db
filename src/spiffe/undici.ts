/** What is used of undici; loading it changes nothing for the rest of the process. */
import { restoreGlobalDispatcher } from './global-dispatcher.ts'

export { Agent, buildConnector, fetch } from 'undici'

restoreGlobalDispatcher()
