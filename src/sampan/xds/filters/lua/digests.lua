-- MD5 (RFC 1321), SHA-1 (RFC 3174), base64 (RFC 4648): what htpasswd's hashes are made of.

local bit = require("bit")
local band, bor, bxor, bnot, rol, ror, bswap, tobit =
  bit.band, bit.bor, bit.bxor, bit.bnot, bit.rol, bit.ror, bit.bswap, bit.tobit

local function word_le(word)
  return string.char(band(word, 255), band(bit.rshift(word, 8), 255), band(bit.rshift(word, 16), 255), bit.rshift(word, 24))
end

local function word_be(word) return word_le(bswap(word)) end

-- The message with its padding, in words of the byte order that `swap` makes.
local function words(message, swap, big)
  local bits = #message * 8
  local low, high = word_le(tobit(bits % 2 ^ 32)), word_le(tobit(math.floor(bits / 2 ^ 32)))
  if big then low, high = high:reverse(), low:reverse() end
  local padded = message .. "\128" .. ("\0"):rep((55 - #message) % 64) .. low .. high
  local out = {}
  for i = 1, #padded, 4 do
    local a, b, c, d = padded:byte(i, i + 3)
    out[#out + 1] = swap(bor(a, bit.lshift(b, 8), bit.lshift(c, 16), bit.lshift(d, 24)))
  end
  return out
end

local MD5_SHIFT = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } }
local MD5_SINE = {}
for i = 1, 64 do MD5_SINE[i] = tobit(math.floor(math.abs(math.sin(i)) * 2 ^ 32)) end

local function md5(message)
  local input = words(message, tobit, false)
  local a, b, c, d = 0x67452301, tobit(0xefcdab89), tobit(0x98badcfe), 0x10325476
  for block = 0, #input - 16, 16 do
    local a0, b0, c0, d0 = a, b, c, d
    for i = 0, 63 do
      local round, f, k = bit.rshift(i, 4), nil, nil
      if round == 0 then
        f, k = bor(band(b, c), band(bnot(b), d)), i
      elseif round == 1 then
        f, k = bor(band(b, d), band(c, bnot(d))), (5 * i + 1) % 16
      elseif round == 2 then
        f, k = bxor(b, c, d), (3 * i + 5) % 16
      else
        f, k = bxor(c, bor(b, bnot(d))), (7 * i) % 16
      end
      local sum = tobit(a + f + MD5_SINE[i + 1] + input[block + k + 1])
      a, d, c, b = d, c, b, tobit(b + rol(sum, MD5_SHIFT[round + 1][i % 4 + 1]))
    end
    a, b, c, d = tobit(a + a0), tobit(b + b0), tobit(c + c0), tobit(d + d0)
  end
  return word_le(a) .. word_le(b) .. word_le(c) .. word_le(d)
end

local function sha1(message)
  local input = words(message, bswap, true)
  local h0, h1, h2, h3, h4 = 0x67452301, tobit(0xefcdab89), tobit(0x98badcfe), 0x10325476, tobit(0xc3d2e1f0)
  local w = {}
  for block = 0, #input - 16, 16 do
    for i = 0, 15 do w[i] = input[block + i + 1] end
    for i = 16, 79 do w[i] = rol(bxor(w[i - 3], w[i - 8], w[i - 14], w[i - 16]), 1) end
    local a, b, c, d, e = h0, h1, h2, h3, h4
    for i = 0, 79 do
      local f, k
      if i < 20 then
        f, k = bor(band(b, c), band(bnot(b), d)), 0x5a827999
      elseif i < 40 then
        f, k = bxor(b, c, d), 0x6ed9eba1
      elseif i < 60 then
        f, k = bor(band(b, c), band(b, d), band(c, d)), tobit(0x8f1bbcdc)
      else
        f, k = bxor(b, c, d), tobit(0xca62c1d6)
      end
      a, b, c, d, e = tobit(rol(a, 5) + f + e + k + w[i]), a, ror(b, 2), c, d
    end
    h0, h1, h2, h3, h4 = tobit(h0 + a), tobit(h1 + b), tobit(h2 + c), tobit(h3 + d), tobit(h4 + e)
  end
  return word_be(h0) .. word_be(h1) .. word_be(h2) .. word_be(h3) .. word_be(h4)
end

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local FROM_BASE64 = {}
for i = 1, 64 do FROM_BASE64[BASE64:byte(i)] = i - 1 end

-- nil when it is not base64.
local function from_base64(text)
  local out, value, bits = {}, 0, 0
  for i = 1, #text do
    local digit = FROM_BASE64[text:byte(i)]
    if digit then
      value, bits = bor(bit.lshift(band(value, 255), 6), digit), bits + 6
      if bits >= 8 then
        bits = bits - 8
        out[#out + 1] = string.char(band(bit.rshift(value, bits), 255))
      end
    elseif text:sub(i) == "=" or text:sub(i) == "==" then
      break
    else
      return nil
    end
  end
  return table.concat(out)
end
