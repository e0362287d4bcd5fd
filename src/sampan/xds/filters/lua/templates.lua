-- Fills in what templates.py has parsed: a list of literals and commands.

local function of_request(handle, command)
  for i = 2, #command do
    local value = handle:headers():get(command[i])
    if value and value ~= "" then return value end
  end
  return ""
end

local function escape(text)
  return (text:gsub("[^%w%-._~]", function(c) return string.format("%%%02X", c:byte()) end))
end

-- "192.0.2.1:80" and "[2001:db8::1]:80" without the port.
local function client_address(handle)
  local address = handle:streamInfo():downstreamRemoteAddress()
  return address:match("^%[(.*)%]:%d+$") or address:match("^(.*):%d+$") or address
end

local function filled(handle, parts, more)
  local out = {}
  for i, part in ipairs(parts) do
    if type(part) == "string" then
      out[i] = part
    elseif part[1] == "REQ" then
      out[i] = of_request(handle, part)
    elseif part[1] == "ESCAPE" then
      out[i] = escape(of_request(handle, part))
    elseif part[1] == "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" then
      out[i] = client_address(handle)
    else
      out[i] = more[part[1]] or ""
    end
  end
  return table.concat(out)
end

-- The changes of ir.HeaderChanges, on a table of headers.
local function change(headers, handle, changes, more)
  if not changes then return end
  for _, name in ipairs(changes.remove or {}) do headers[name] = nil end
  for _, pair in ipairs(changes.set or {}) do headers[pair[1]] = filled(handle, pair[2], more) end
  for _, pair in ipairs(changes.add or {}) do
    local value, before = filled(handle, pair[2], more), headers[pair[1]]
    if type(before) == "table" then
      before[#before + 1] = value
    elseif before then
      headers[pair[1]] = { before, value }
    else
      headers[pair[1]] = value
    end
  end
end
