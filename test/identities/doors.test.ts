import { after } from 'node:test'
import { declareDoors } from './doors.ts'
import { startWorld } from './world.ts'

declareDoors(await startWorld({ after }))
