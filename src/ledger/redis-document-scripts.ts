/**
 * What changes documents and the lists of them, each in one step.
 *
 * A member of a list is a place (16 digits that sort as the orders do) and the id behind it. In the list
 * of what ends, the end is the score and the group is added behind a space: a document that Redis has
 * let go of no longer says where it was listed. Keys made inside a script are in the slot of those given.
 */

/** For `WRITE`: whatever is there. No version looks like this. */
export const ANY = '*'

const HEAD = `
  local function head(value)
    local version, place, id, group = string.match(value, '^(%S+) (%S+) %S* (%S+) (%S*)\\n')
    return version, place, id, group
  end`
const FORGET = `${HEAD}
  local function forget(value)
    local _, place, id, group = head(value)
    redis.call('ZREM', KEYS[2], place .. id)
    redis.call('ZREM', KEYS[3], place .. id .. ' ' .. group)
    if group ~= '' then redis.call('ZREM', KEYS[4] .. 'g:' .. group, place .. id) end
  end`

/**
 * Keys: the document, all, what ends, and what keys of the kind begin with. Arguments: the version that
 * must be there (empty for none), the document, its member, its end in ms (or empty), its group.
 * At last a few that have ended are taken out of the lists, for a kind that nobody ever lists.
 */
export const WRITE = `${FORGET}
  local before = redis.call('GET', KEYS[1])
  local version = before and head(before) or ''
  if ARGV[1] ~= '${ANY}' and version ~= ARGV[1] then return 0 end
  if before then forget(before) end
  if ARGV[4] == '' then
    redis.call('SET', KEYS[1], ARGV[2])
  else
    redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[4])
    redis.call('ZADD', KEYS[3], ARGV[4], ARGV[3] .. ' ' .. ARGV[5])
  end
  redis.call('ZADD', KEYS[2], 0, ARGV[3])
  if ARGV[5] ~= '' then redis.call('ZADD', KEYS[4] .. 'g:' .. ARGV[5], 0, ARGV[3]) end
  local over = (redis.call('TIME')[1] - 1) * 1000
  for _, ended in ipairs(redis.call('ZRANGE', KEYS[3], '-inf', over, 'BYSCORE', 'LIMIT', 0, 8)) do
    local member, group = string.match(ended, '^(%S+) (%S*)$')
    local value = redis.call('GET', KEYS[4] .. 'v:' .. string.sub(member, 17))
    local place, listed
    if value then _, place, _, listed = head(value) end
    local stays = place == string.sub(member, 1, 16)
    if not stays then redis.call('ZREM', KEYS[2], member) end
    if group ~= '' and not (stays and listed == group) then
      redis.call('ZREM', KEYS[4] .. 'g:' .. group, member)
    end
    redis.call('ZREM', KEYS[3], ended)
  end
  return 1`

/** The same keys. Answers what was there. */
export const REMOVE = `${FORGET}
  local before = redis.call('GET', KEYS[1])
  if not before then return false end
  forget(before)
  redis.call('UNLINK', KEYS[1])
  return before`

/**
 * Keys: the list, and what documents' keys begin with. Arguments: behind what, how many, and the
 * list's group or nothing. Answers member and document in turn; what has ended is taken out.
 */
export const PAGE = `${HEAD}
  local page = {}
  local members = redis.call('ZRANGE', KEYS[1], ARGV[1], '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[2])
  for _, member in ipairs(members) do
    local value = redis.call('GET', KEYS[2] .. string.sub(member, 17))
    local place, group
    if value then _, place, _, group = head(value) end
    if place ~= string.sub(member, 1, 16) or (ARGV[3] ~= '' and group ~= ARGV[3]) then
      redis.call('ZREM', KEYS[1], member)
      value = false
    end
    page[#page + 1] = member
    page[#page + 1] = value
  end
  return page`
