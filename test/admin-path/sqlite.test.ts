/** One broker on SQLite, with verifiers that keep their own ledgers and hear the broker over HTTP. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { RESOURCE } from '../attacks/site.ts'
import { apiDoor, asProgram, command, commandDoor, onSocket } from './doors.ts'
import { testListeners } from './listeners.ts'
import { BRIEF_RESOURCE, openPlace, type Place } from './place.ts'
import { testRoles } from './roles.ts'
import { type Stage, testStopping } from './stop.ts'
import { testTouch } from './touch.ts'

let place: Place
let stage: Stage

before(async () => {
  place = await openPlace({ brokers: 1 })
  const verifiers = await Promise.all([
    place.startVerifier(RESOURCE),
    place.startVerifier(RESOURCE),
    place.startVerifier(BRIEF_RESOURCE),
  ])
  stage = {
    place,
    verifiers: new Map([
      [RESOURCE, verifiers.slice(0, 2)],
      [BRIEF_RESOURCE, verifiers.slice(2)],
    ]),
  }
})
after(() => place?.stop())

const first = () => place.brokers[0]!
testStopping('the control socket', () => ({
  ...{ stage, door: apiDoor('the control socket', onSocket(first())) },
}))
testStopping('a program', () => ({
  ...{ stage, door: apiDoor('a program', asProgram(place, first(), 'ops')) },
}))
// One by one it is tried beside Redis: a process for each command is slow.
testStopping('the command line', () => ({ stage, door: commandDoor(place, first()) }), [])

testRoles(() => place)
testTouch(() => place)
testListeners(() => place)

test('all is well, says writ status', async () => {
  const ended = await command(place, first())('status', '--json')
  assert.equal(ended.code, 0, ended.stdout + ended.stderr)
  const { problems, holders } = ended.json() as { problems: string[]; holders: unknown[] }
  assert.deepEqual([problems, holders.length], [[], 1])
})
