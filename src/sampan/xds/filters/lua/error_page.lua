-- Puts the page that custom_errors.lua has got in place of the answer's body. A filter of its own: the bytes of a body
-- can only be changed as they come, and that one has been waiting meanwhile.

local SAVED = "sampan.errors"

function envoy_on_response(handle)
  local metadata = handle:streamInfo():dynamicMetadata():get(SAVED)
  local page = metadata and metadata["page"]
  if not page then return end
  local headers = handle:headers()
  local empty = headers:get("content-length") == "0"
  headers:remove("content-encoding")
  headers:replace("content-type", page.content_type)
  headers:replace("content-length", tostring(#page.body))
  if empty then
    handle:body(true):setBytes(page.body)
    return
  end
  local left = page.body
  for chunk in handle:bodyChunks() do
    chunk:setBytes(left)
    left = ""
  end
end
