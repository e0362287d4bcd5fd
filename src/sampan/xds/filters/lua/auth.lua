-- Who may pass: basic auth, then the question to another service. A fault in here refuses (Envoy would let pass).

local HOP_BY_HOP = {
  ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
  ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true, ["expect"] = true,
}
local COOKIES = "sampan.auth"

local function basic(handle, wanted)
  local scheme, credentials = (handle:headers():get("authorization") or ""):match("^(%a+) +(%S+)$")
  if scheme and scheme:lower() == "basic" then
    local name, password = (from_base64(credentials) or ""):match("^([^:]*):(.*)$")
    local stored = name and wanted.users[name]
    if stored and verified(stored, password) then return nil end
  end
  local challenge = 'Basic realm="' .. wanted.realm:gsub('["\\]', "\\%0") .. '", charset="UTF-8"'
  return { headers = { [":status"] = "401", ["www-authenticate"] = challenge }, body = "401 Unauthorized\n" }
end

local function question(handle, wanted)
  local headers, request = {}, handle:headers()
  local function hand_over(name, value)
    if HOP_BY_HOP[name] or name:sub(1, 1) == ":" then return end
    local before = headers[name]
    if before == nil then
      headers[name] = value
    elseif type(before) == "table" then
      before[#before + 1] = value
    else
      headers[name] = { before, value }
    end
  end
  for _, name in ipairs(wanted.headers) do
    if name == "*" then
      for key, value in pairs(request) do hand_over(key, value) end
      break
    end
    local value = request:get(name)
    if value then hand_over(name, value) end
  end
  change(headers, handle, wanted.changes, {})
  headers[":method"] = wanted.method ~= "" and wanted.method or request:get(":method")
  headers[":path"] = filled(handle, wanted.path, {})
  headers[":authority"] = wanted.host ~= "" and wanted.host or request:get(":authority")
  return headers
end

local function listed(value)
  return type(value) == "table" and value or { value }
end

local function take_over(handle, answer, names)
  for _, name in ipairs(names) do
    handle:headers():remove(name)
    for _, value in ipairs(listed(answer[name])) do handle:headers():add(name, value) end
  end
  if answer["set-cookie"] then
    handle:streamInfo():dynamicMetadata():set(COOKIES, "set-cookie", table.concat(listed(answer["set-cookie"]), "\n"))
  end
end

local function ask(handle, wanted)
  local answer, body = handle:httpCall(
    wanted.cluster, question(handle, wanted), nil,
    { timeout_ms = wanted.timeout_ms, return_duplicate_headers = true, send_xff = false }
  )
  local status = tonumber(answer[":status"])
  if status >= 200 and status < 300 then
    take_over(handle, answer, wanted.response)
    return nil
  end
  -- Envoy answers 503 or 504 itself when nobody is there.
  if status >= 500 and wanted.fail_open then return nil end
  if status == 401 and #wanted.signin > 0 then
    return { headers = { [":status"] = "302", ["location"] = filled(handle, wanted.signin, {}), ["set-cookie"] = answer["set-cookie"] }, body = "" }
  end
  local headers = {}
  for name, value in pairs(answer) do
    if not HOP_BY_HOP[name] and name:sub(1, 8) ~= "x-envoy-" then headers[name] = value end
  end
  return { headers = headers, body = body or "" }
end

local function decide(handle)
  local context = handle:filterContext()
  local any, refusal = context:get("any"), nil
  if any then
    local rbac = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.rbac")
    if rbac and rbac["auth_allowed_shadow_engine_result"] == "allowed" then return nil end
    refusal = { headers = { [":status"] = "403" }, body = "403 Forbidden\n" }
  end
  for _, check in ipairs({ { "basic", basic }, { "ask", ask } }) do
    local wanted = context:get(check[1])
    if wanted then
      local refused = check[2](handle, wanted)
      if not refused and any then return nil end
      if refused and not any then return refused end
      refusal = refused or refusal
    end
  end
  return refusal
end

function envoy_on_request(handle)
  local fine, refusal = pcall(decide, handle)
  if not fine then
    handle:logErr("auth: " .. tostring(refusal))
    refusal = { headers = { [":status"] = "500" }, body = "500 Internal Server Error\n" }
  end
  if refusal then handle:respond(refusal.headers, refusal.body) end
end

-- Cookies of the answer go to the client, also when it let the request pass.
function envoy_on_response(handle)
  local cookies = handle:streamInfo():dynamicMetadata():get(COOKIES)
  if not cookies then return end
  for cookie in cookies["set-cookie"]:gmatch("[^\n]+") do handle:headers():add("set-cookie", cookie) end
end
