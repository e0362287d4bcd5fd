-- Checks a password against a line of htpasswd. ir/passwords.py names the kinds.

local CRYPT64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
local GROUPS = { { 0, 6, 12 }, { 1, 7, 13 }, { 2, 8, 14 }, { 3, 9, 15 }, { 4, 10, 5 } }

local function crypt64(value, digits)
  local out = {}
  for i = 1, digits do
    local place = band(bit.rshift(value, 6 * (i - 1)), 63)
    out[i] = CRYPT64:sub(place + 1, place + 1)
  end
  return table.concat(out)
end

-- MD5-based crypt: a thousand rounds. `magic` is "$1$", or "$apr1$" as Apache has it.
local function md5_crypt(password, salt, magic)
  local inner = md5(password .. salt .. password)
  local text = { password, magic, salt, inner:rep(math.floor(#password / 16)), inner:sub(1, #password % 16) }
  local left = #password
  while left > 0 do
    text[#text + 1] = left % 2 == 1 and "\0" or password:sub(1, 1)
    left = math.floor(left / 2)
  end
  local final = md5(table.concat(text))
  for i = 0, 999 do
    local odd = i % 2 == 1
    final = md5(
      (odd and password or final)
        .. (i % 3 ~= 0 and salt or "")
        .. (i % 7 ~= 0 and password or "")
        .. (odd and final or password)
    )
  end
  local out = {}
  for i, group in ipairs(GROUPS) do
    local a, b, c = final:byte(group[1] + 1), final:byte(group[2] + 1), final:byte(group[3] + 1)
    out[i] = crypt64(bor(bit.lshift(a, 16), bit.lshift(b, 8), c), 4)
  end
  return table.concat(out) .. crypt64(final:byte(12), 2)
end

local function correct(stored, password)
  local magic, salt, digest = stored:match("^(%$a?p?r?1%$)([^$]*)%$(.+)$")
  if magic == "$apr1$" or magic == "$1$" then return md5_crypt(password, salt:sub(1, 8), magic) == digest end
  local scheme, rest = stored:match("^{(%u+)}(.*)$")
  if scheme == "SHA" then return from_base64(rest) == sha1(password) end
  if scheme == "PLAIN" then return rest == password end
  if scheme == "SSHA" then
    local bytes = from_base64(rest)
    return bytes ~= nil and #bytes > 20 and bytes:sub(1, 20) == sha1(password .. bytes:sub(21))
  end
  return false
end

-- A thousand rounds take a millisecond of a worker: what has been right once is remembered, as a hash.
local known, count, MOST = {}, 0, 10000

local function verified(stored, password)
  local key = sha1(stored .. "\0" .. password)
  if known[key] then return true end
  if not correct(stored, password) then return false end
  if count >= MOST then known, count = {}, 0 end
  known[key], count = true, count + 1
  return true
end
