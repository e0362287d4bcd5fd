-- Replaces the body of answers with certain codes by what another service says about them.

local REQUEST = "sampan.errors"
local BUFFERED = 16384

-- Answers know nothing of their request: what the question needs is filled in on the way in.
function envoy_on_request(handle)
  local context = handle:filterContext()
  local more = { RESPONSE_CODE = "%RESPONSE_CODE%" }
  local headers = { [":method"] = "GET" }
  change(headers, handle, context:get("changes"), more)
  headers[":authority"] = context:get("host") ~= "" and context:get("host") or handle:headers():get(":authority")
  handle:streamInfo():dynamicMetadata():set(REQUEST, "headers", headers)
end

local function page(handle, context, code)
  local saved = handle:streamInfo():dynamicMetadata():get(REQUEST)
  if not saved then return nil end
  local headers = {}
  for name, value in pairs(saved["headers"]) do
    headers[name] = type(value) == "string" and value:gsub("%%RESPONSE_CODE%%", code) or value
  end
  headers[":path"] = context:get("path")
  return handle:httpCall(context:get("cluster"), headers, nil, { timeout_ms = context:get("timeout_ms") })
end

local function replace_body(handle, body)
  local length = tonumber(handle:headers():get("content-length") or "")
  if length and length <= BUFFERED then
    handle:body(true):setBytes(body)
    handle:headers():replace("content-length", tostring(#body))
    return
  end
  -- Larger ones stream through here and are emptied chunk by chunk.
  handle:headers():remove("content-length")
  local first = true
  for chunk in handle:bodyChunks() do
    chunk:setBytes(first and body or "")
    first = false
  end
end

function envoy_on_response(handle)
  local context = handle:filterContext()
  local code = handle:headers():get(":status")
  local wanted = false
  for _, one in ipairs(context:get("codes")) do wanted = wanted or one == code end
  if not wanted then return end
  local fine, headers, body = pcall(page, handle, context, code)
  if not fine then handle:logErr("custom errors: " .. tostring(headers)) end
  -- The service for error pages is itself at fault: the original answer is better than none.
  if not fine or not headers or (tonumber(headers[":status"]) >= 500 and headers[":status"] ~= code) then return end
  handle:headers():remove("content-encoding")
  handle:headers():replace("content-type", headers["content-type"] or "text/html")
  replace_body(handle, body or "")
end
