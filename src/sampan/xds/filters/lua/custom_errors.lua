-- Asks another service for a page about an answer with one of certain codes. error_page.lua puts it into the answer.

local SAVED = "sampan.errors"

-- Answers know nothing of their request: what is needed of it is kept on the way in.
function envoy_on_request(handle)
  local context, request = handle:filterContext(), handle:headers()
  local headers = { [":method"] = "GET" }
  change(headers, handle, context:get("changes"), { RESPONSE_CODE = "%RESPONSE_CODE%" })
  headers[":authority"] = context:get("host") ~= "" and context:get("host") or request:get(":authority")
  handle:streamInfo():dynamicMetadata():set(SAVED, "request", {
    headers = headers, head = request:get(":method") == "HEAD",
  })
end

-- nil when the service for error pages is at fault itself: the answer as it is is better than none.
local function page(handle, wanted, saved, code)
  local headers = {}
  for name, value in pairs(saved.headers) do
    headers[name] = type(value) == "string" and value:gsub("%%RESPONSE_CODE%%", code) or value
  end
  headers[":path"] = wanted.path
  local answer, body = handle:httpCall(wanted.cluster, headers, nil, { timeout_ms = wanted.timeout_ms })
  if tonumber(answer[":status"]) >= 500 and answer[":status"] ~= code then return nil end
  return { body = body or "", content_type = answer["content-type"] or "text/html" }
end

local function has(list, value)
  for _, one in ipairs(list) do
    if one == value then return true end
  end
  return false
end

function envoy_on_response(handle)
  local context, code = handle:filterContext(), handle:headers():get(":status")
  if not has(context:get("codes"), code) then return end
  local metadata = handle:streamInfo():dynamicMetadata():get(SAVED)
  local saved = metadata and metadata["request"]
  if not saved or saved.head then return end
  local wanted = { cluster = context:get("cluster"), path = context:get("path"), timeout_ms = context:get("timeout_ms") }
  local fine, found = pcall(page, handle, wanted, saved, code)
  if fine and found then
    handle:streamInfo():dynamicMetadata():set(SAVED, "page", found)
  elseif not fine then
    handle:logErr("custom errors: " .. tostring(found))
  end
end
