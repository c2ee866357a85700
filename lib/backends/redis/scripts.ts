import { createHash } from 'node:crypto';
import { LONGEST_DOCUMENT } from './stored.js';

/** What runs inside the server, in one step: nobody else's command comes in between. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/**
 * Reads at one moment. Not by MULTI: a server that is out of memory refuses to queue even reads.
 *
 * KEYS  one for each command
 * ARGV  for each command its name, how many arguments come after its key, and those: at most some
 *       thousands, which is what Lua can hand on. SMEMBERS takes one: how many are too many.
 *       'documents' is HMGET of what is not too long
 *
 * Returns the replies in their order, an error in the place of one that failed; of too many
 * members, only how many there are; of too long a document, its bytes.
 */
export const READ = script(`
local replies, at = {}, 1
for number, key in ipairs(KEYS) do
  local count = tonumber(ARGV[at + 1])
  if ARGV[at] == 'smembers' then
    local size = redis.pcall('SCARD', key)
    local isSmall = type(size) == 'number' and size <= tonumber(ARGV[at + 2])
    replies[number] = isSmall and redis.call('SMEMBERS', key) or size
  elseif ARGV[at] == 'documents' then
    local found, problem = {}, nil
    for place = 1, count do
      local size = redis.pcall('HSTRLEN', key, ARGV[at + 1 + place])
      if type(size) ~= 'number' then
        problem = size
        break
      end
      if size <= ${3 * LONGEST_DOCUMENT} then size = redis.call('HGET', key, ARGV[at + 1 + place]) end
      found[place] = size
    end
    -- ioredis-mock makes nothing of a table that was filled step by step.
    replies[number] = problem or { unpack(found, 1, count) }
  else
    replies[number] = redis.pcall(ARGV[at], key, unpack(ARGV, at + 2, at + 1 + count))
  end
  at = at + 2 + count
end
if #KEYS < 5000 then return { unpack(replies, 1, #KEYS) } end
return replies
`);

/**
 * One write. What can refuse it is found out before the first change.
 *
 * KEYS  1 features, 2 heads, 3 token, 4 the feature's stream of such changes, 5 the log of such
 *       changes, 6 the request, 7 what the keys of members begin with, 8 the channel, 9 the request
 *       of the batch that this was in before, 10 what the keys of assignments begin with, 11 those
 *       of their weights
 * ARGV  1 deadline (Unix ms by this server; 0, which is always late, to ask for its time, and
 *       whether its user may do all of this: a write must not stop half-way for that), 2 epoch of
 *       a store without a token, 3 name, 4 'absent', 'present' or 'id', 5 the expected id, 6 the expected revision or '',
 *       7 'put', 'remove' or 'members', 8 document, 9 its id, 10 its revision,
 *       11 length of the streams, 12 ms that members set aside are kept, 13 ms that the answer is
 *       remembered, 14 who and why (JSON), 15 'one' write, or a batch in which 'each' id is a write,
 *       16 how many ids to add, 17 to remove, 18 the expected fourth part of the head or '', 19 how
 *       many members the document's id has to have, or '', 20 how many other features it was decided
 *       by, then of each of these its name and the first three parts of its head, or '', then the ids
 *       to add, to remove, and to release from what they were assigned
 *
 * Returns { 'done', now, answer }, with now in Unix ms and the answer in lines (name, head, how
 * many were added, and removed; of a batch, then a 1 or 0 for each id, whether it changed); or
 * { refusal, now } and nothing has changed: 'late', 'exists', 'missing', 'changed' (and
 * which other feature, if it was one), 'corrupt'.
 * Publishes lines: name, kind, head.
 *
 * A head is id:revision:document:members, a token
 * epoch:documents:documentsAt:members:membersAt:firstsAt, where counts count writes, and the rest
 * are stamps: this server's microseconds, moved on where they would repeat. firstsAt is that of the
 * last time that an id got members that had none.
 */
export const WRITE = script(`
local features, heads, token, stream, log, request, users, channel = unpack(KEYS)
local assigned, weights = KEYS[10], KEYS[11]
local name, operation, id, isBatch = ARGV[3], ARGV[7], ARGV[9], ARGV[15] == 'each'

local function whole(number) return string.format('%.0f', number) end

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = whole(math.floor(micros / 1000))

local answered = redis.call('GET', request)
if not answered and KEYS[9] ~= request then answered = redis.call('GET', KEYS[9]) end
if answered then return { 'done', now, answered } end
if ARGV[1] == '0' and redis.acl_check_cmd then
  for _, command in ipairs({
    { 'SET', token, '' }, { 'HSET', features, '', '' }, { 'HDEL', heads, '' },
    { 'SADD', users, '' }, { 'SREM', users, '' }, { 'XADD', stream, '*', '', '' },
    { 'XDEL', log, '0-1' }, { 'PERSIST', users }, { 'PEXPIRE', users, 1 }, { 'PUBLISH', channel, '' },
  }) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM ' .. command[1])
    end
  end
end
if tonumber(now) > tonumber(ARGV[1]) then return { 'late', now } end

local head = redis.call('HGET', heads, name)
-- Beside members, only whether there is one.
local before = redis.call(operation == 'members' and 'HEXISTS' or 'HGET', features, name)
if before == 0 then before = false end
local oldId, oldRevision, oldDocument, oldMembers
if head then
  oldId, oldRevision, oldDocument, oldMembers = string.match(head, '^(.*):(%d+):(%d+):(%d+)$')
end

if ARGV[4] == 'absent' then
  if head or before then return { 'exists', now } end
else
  if not head and not before then return { 'missing', now } end
  if ARGV[4] == 'id' and
    (ARGV[5] ~= oldId or (ARGV[6] ~= '' and ARGV[6] ~= oldRevision) or
    (ARGV[18] ~= '' and ARGV[18] ~= oldMembers)) then
    return { 'changed', now }
  end
  if operation == 'members' and not (oldId and before) then return { 'corrupt', now } end
end

for at = 21, 20 + 2 * ARGV[20], 2 do
  local other = redis.call('HGET', heads, ARGV[at])
  if ARGV[at + 1] ~= (other and string.match(other, '^(.*):%d+$') or '') then
    return { 'changed', now, ARGV[at] }
  end
end

local epoch, documents, documentsAt, members, membersAt, firstsAt =
  string.match(redis.call('GET', token) or '', '^([^:]+):(%d+):(%d+):(%d+):(%d+):(%d+)$')
if not epoch then
  epoch, documents, documentsAt, members, membersAt, firstsAt = ARGV[2], 0, 0, 0, 0, 0
end
local stamp = whole(math.max(micros, documentsAt + 1, membersAt + 1))

if operation == 'members' then id = oldId end
if operation == 'remove' then id = oldId or '' end
local set = users .. id
local count = redis.pcall('SCARD', set)
if type(count) ~= 'number' then
  -- No set of members: only a removal can go on, and help.
  if operation ~= 'remove' then return count end
  count = 0
end
if ARGV[19] ~= '' and count ~= tonumber(ARGV[19]) then return { 'changed', now } end
-- A key of another type answers so now, while nothing has changed; the log's does when appended to.
redis.call('XLEN', stream)

local added, removed, flags = {}, {}, {}
local first = 21 + 2 * ARGV[20]
local function pick(list, total, known)
  if total == 0 then return end
  local ids = { unpack(ARGV, first, first + total - 1) }
  first = first + total
  local found = redis.call('SMISMEMBER', set, unpack(ids))
  local taken = {}
  for at, each in ipairs(ids) do
    local changes = found[at] == known and not taken[each]
    if changes then
      taken[each] = true
      list[#list + 1] = each
    end
    if isBatch then flags[#flags + 1] = changes and '1' or '0' end
  end
end
pick(added, tonumber(ARGV[16]), 0)
pick(removed, tonumber(ARGV[17]), 1)
local released, sums = {}, {}
local toRelease = #ARGV - first + 1
if toRelease > 0 then
  local ids = { unpack(ARGV, first, #ARGV) }
  for at, value in ipairs(redis.call('HMGET', assigned .. id, unpack(ids))) do
    if type(value) == 'string' and not released[ids[at]] then
      released[ids[at]] = true
      released[#released + 1] = ids[at]
      local bare, weight = string.match(value, '^(.*)\\n(.*)$')
      bare = bare or value
      sums[bare] = (sums[bare] or redis.call('HGET', weights .. id, bare) or 0) - (weight or 1)
    end
  end
end
local moved = #added + #removed > 0

local function done(after)
  local gone = #removed + #released
  local answer = table.concat({ name, after, #added, gone, table.concat(flags) }, '\\n')
  redis.call('SET', request, answer, 'PX', ARGV[13])
  return { 'done', now, answer }
end
if operation == 'members' and not moved then return done(head) end

local kind, after
if operation == 'members' then
  kind, after = 'members', oldId .. ':' .. oldRevision .. ':' .. oldDocument .. ':' .. stamp
elseif operation == 'remove' then
  kind, after = 'removed', oldId and head or ':0:0:0'
else
  kind = before and 'updated' or 'created'
  local held = '0'
  if id == oldId then held = oldMembers elseif count > 0 then held, moved = stamp, true end
  if #added + #removed > 0 then held = stamp end
  after = id .. ':' .. ARGV[10] .. ':' .. stamp .. ':' .. held
end

-- What it counts in the token as a change of members.
local counted = not moved and '0' or whole(isBatch and #added + #removed or 1)

if tonumber(ARGV[11]) > 0 then
  local entry = {
    'name', name, 'kind', kind, 'head', after, 'at', now, 'about', ARGV[14],
    'count', whole(count + #added - #removed), 'counted', counted, 'was', oldMembers or before and '' or '0',
  }
  local function put(field, value)
    entry[#entry + 1] = field
    entry[#entry + 1] = value
  end
  if operation ~= 'members' and before then put('before', before) end
  if operation == 'put' then put('after', ARGV[8]) end
  for _, each in ipairs(added) do put('+', each) end
  for _, each in ipairs(removed) do put('-', each) end
  local function append(key, at)
    return redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[11], at, unpack(entry))
  end
  -- Both streams give this change one id. Only a foreign entry can be ahead of the clock; then the
  -- change comes right after it.
  local function isId(reply) return type(reply) == 'string' end
  local at = append(log, string.sub(stamp, 1, -4) .. '-' .. string.sub(stamp, -3))
  if not isId(at) then at = append(log, '*') end
  if not isId(at) then return at end
  if not isId(append(stream, at)) then
    redis.call('XDEL', log, at)
    at = append(stream, '*')
    if not isId(at) then return at end
    append(log, at)
  end
end

if operation ~= 'members' then documents, documentsAt = whole(documents + 1), stamp end
if moved then
  members, membersAt = whole(members + counted), stamp
  if operation == 'put' or oldMembers == '0' then firstsAt = stamp end
end
redis.call('SET', token, table.concat({
  epoch, documents, documentsAt, members, membersAt, firstsAt,
}, ':'))

if #added > 0 then redis.call('SADD', set, unpack(added)) end
if #removed > 0 then redis.call('SREM', set, unpack(removed)) end
if oldId and oldId ~= id or operation == 'remove' and oldId then
  for _, kept in ipairs({ users, assigned, weights }) do
    redis.call('PEXPIRE', kept .. oldId, ARGV[12])
  end
end
if operation == 'remove' then
  redis.call('HDEL', features, name)
  redis.call('HDEL', heads, name)
else
  if operation == 'put' then
    for _, kept in ipairs({ users, assigned, weights }) do redis.call('PERSIST', kept .. id) end
    if #released > 0 then redis.call('HDEL', assigned .. id, unpack(released)) end
    for value, sum in pairs(sums) do
      redis.call('HSET', weights .. id, value, string.format('%.17g', sum))
    end
    -- What is left of sums of decimals is not the weight of anybody.
    if #released > 0 and redis.call('HLEN', assigned .. id) == 0 then
      for _, value in ipairs(redis.call('HKEYS', weights .. id)) do
        redis.call('HDEL', weights .. id, value)
      end
    end
    redis.call('HSET', features, name, ARGV[8])
  end
  redis.call('HSET', heads, name, after)
end

redis.call('PUBLISH', channel, table.concat({ name, kind, after }, '\\n'))
return done(after)
`);

/**
 * Assigns values to ids that have none. It moves no head and leaves no change: what is assigned stays.
 *
 * KEYS  1 heads, 2 what the keys of assignments begin with, 3 those of their weights, 4 the request
 * ARGV  1 deadline (Unix ms by this server; 0 to ask for its time), 2 name, 3 'present' or 'id',
 *       4 the expected id, 5 the expected revision or '', 6 ms that the request is remembered, or
 *       0, 7 how many values there are to choose among, then these, then of each id itself, the
 *       value, or '' for the lightest, and the weight
 *
 * Returns { 'done', now, answer }, with the answer in lines (name, head, how many had none, and
 * the value of each id); or { refusal, now } and nothing has changed: 'late', 'missing', 'changed',
 * 'corrupt'. An assignment is its value, and where that is not 1, a line break and the weight.
 */
export const ASSIGN = script(`
local heads, assigned, weights, request = unpack(KEYS)
local name = ARGV[2]

local time = redis.call('TIME')
local now = string.format('%.0f', math.floor((time[1] * 1000000 + time[2]) / 1000))
if tonumber(now) > tonumber(ARGV[1]) then return { 'late', now } end

local head = redis.call('HGET', heads, name)
if not head then return { 'missing', now } end
local id, revision = string.match(head, '^(.*):(%d+):%d+:%d+$')
if not id then return { 'corrupt', now } end
if ARGV[3] == 'id' and (ARGV[4] ~= id or (ARGV[5] ~= '' and ARGV[5] ~= revision)) then
  return { 'changed', now }
end

local sums = {}
local all = redis.call('HVALS', weights .. id)
for at, value in ipairs(redis.call('HKEYS', weights .. id)) do sums[value] = tonumber(all[at]) end

local choices = tonumber(ARGV[7])
-- A binary heap of places among the choices, the lightest at its top; made anew when it is needed.
local heap
local function isLighter(one, other)
  local difference = (sums[ARGV[7 + one]] or 0) - (sums[ARGV[7 + other]] or 0)
  return difference < 0 or (difference == 0 and one < other)
end
local function sink(at)
  local place = heap[at]
  while 2 * at <= choices do
    local child = 2 * at
    if child < choices and isLighter(heap[child + 1], heap[child]) then child = child + 1 end
    if not isLighter(heap[child], place) then break end
    heap[at] = heap[child]
    at = child
  end
  heap[at] = place
end
local function lightest()
  if not heap then
    heap = {}
    for at = 1, choices do heap[at] = at end
    for at = math.floor(choices / 2), 1, -1 do sink(at) end
  end
  return ARGV[7 + heap[1]]
end

local first = 8 + choices
local ids = {}
for at = first, #ARGV, 3 do ids[#ids + 1] = ARGV[at] end
local found = redis.call('HMGET', assigned .. id, unpack(ids))
local known, values, fresh, changed, added = {}, {}, {}, {}, 0
for place, each in ipairs(ids) do
  local given, weight = ARGV[first + 3 * place - 2], ARGV[first + 3 * place - 1]
  local text = known[each] or found[place]
  local value, before
  -- What is not there is another thing in ioredis-mock.
  if type(text) ~= 'string' then text = nil end
  if text then
    value, before = string.match(text, '^(.*)\\n(.*)$')
    value, before = value or text, before or 1
  else
    value, before = given ~= '' and given or lightest(), 0
    added = added + 1
  end
  values[place] = value
  local after = weight == '1' and value or value .. '\\n' .. weight
  if after ~= text then
    known[each] = after
    fresh[#fresh + 1] = each
    fresh[#fresh + 1] = after
    sums[value] = (sums[value] or 0) + weight - before
    changed[value] = true
    if heap and not text and given == '' then sink(1) else heap = nil end
  end
end
if #fresh > 0 then redis.call('HSET', assigned .. id, unpack(fresh)) end
for value in pairs(changed) do
  redis.call('HSET', weights .. id, value, string.format('%.17g', sums[value]))
end
if ARGV[6] ~= '0' then redis.call('SET', request, '', 'PX', ARGV[6]) end
return { 'done', now, table.concat({ name, head, added, unpack(values) }, '\\n') }
`);
