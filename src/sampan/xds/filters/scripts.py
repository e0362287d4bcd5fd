"""The Lua sources beside this file, joined to the scripts that filters run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from google.protobuf import struct_pb2

from sampan import ir
from sampan.xds.filters.templates import template
from sampan.xds.messages import Message

SOURCES = Path(__file__).with_name("lua")


@cache
def script(*names: str) -> Message:
    """Each file sees the local names of those before it."""
    text = "\n".join((SOURCES / f"{name}.lua").read_text() for name in names)
    return lua_pb2.Lua(default_source_code=base_pb2.DataSource(inline_string=text))


def with_context(values: dict[str, Any]) -> Message:
    """What a route tells the script: `handle:filterContext()` there."""
    context = struct_pb2.Struct()
    context.update(values)
    return lua_pb2.LuaPerRoute(filter_context=context)


def changes(wanted: ir.HeaderChanges) -> dict[str, Any]:
    return {
        "remove": [name.lower() for name in wanted.remove],
        "set": [[name.lower(), template(value)] for name, value in wanted.set],
        "add": [[name.lower(), template(value)] for name, value in wanted.add],
    }
