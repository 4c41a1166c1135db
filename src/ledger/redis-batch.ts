import { type Redis, Command as RedisCommand } from 'ioredis'

export type Command = readonly [name: string, ...args: (string | number)[]]
export type Reply = readonly [error: Error | null, value: unknown]

/**
 * Sends the commands as one write and answers their replies in order, each a value or an error.
 *
 * ioredis' own pipeline does the same with several promises a command; a spend is two commands, and
 * this is the hottest path of a verifier.
 */
export function sendBatch(redis: Redis, commands: readonly Command[]): Promise<readonly Reply[]> {
  return new Promise((resolve) => {
    const replies: Reply[] = new Array(commands.length)
    let missing = commands.length
    let text = ''
    const collector = {
      isPipeline: true,
      destination: { redis },
      write(part: string) {
        text += part
      },
    }
    const settle = (index: number, reply: Reply): void => {
      replies[index] = reply
      if (--missing === 0) resolve(replies)
    }
    for (let index = 0; index < commands.length; index++) {
      const [name, ...args] = commands[index] as Command
      const command = new RedisCommand(name, args, { replyEncoding: 'utf8' })
      command.promise.then(
        (value) => settle(index, [null, value]),
        (error) => settle(index, [error, undefined]),
      )
      redis.sendCommand(command, collector as unknown as Parameters<Redis['sendCommand']>[1])
    }
    if (text !== '') redis.stream.write(text)
  })
}
