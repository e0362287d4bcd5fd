"""Request bodies in protobuf, which kubectl 1.32 sends from `create configmap` and the like; answers stay JSON.

Field numbers are in `protobuf_fields.json` (made by tools/protobuf_fields.py): message → number → "NAME TYPE", TYPE one
of s string, b bool, i integer, B bytes, d double or a message, after [] when repeated and {} for a map of strings.
NAME has a `+` when JSON has the fields of the message in its place, a `*` when it is a pointer, whose zero counts.
Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding,
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sampan.api.meta import Obj
from sampan.api.status import bad_request

MAGIC = b"k8s\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEPTH = 64


class _Field(NamedTuple):
    name: str
    inline: bool
    pointer: bool
    repeated: bool
    map: bool
    type: str


class _Malformed(ValueError):
    """Not the bytes of such a message."""


def decode(body: bytes) -> Obj:
    """The object in a body. Raises ApiError 400."""
    try:
        if not body.startswith(MAGIC):
            raise _Malformed("it does not begin with the four bytes k8s\\0")
        envelope = dict(_fields(body[len(MAGIC) :]))  # a runtime.Unknown: 1 what it is, 2 the object
        about = _message("runtime.TypeMeta", _bytes(envelope.get(1, b"")), 0)
        version, kind = about.get("apiVersion", ""), about.get("kind", "")
        obj = _message(_name(version, kind), _bytes(envelope.get(2, b"")), 0)
        return {"apiVersion": version, "kind": kind, **obj}
    except (_Malformed, UnicodeDecodeError, OverflowError, struct.error) as error:
        raise bad_request(f"couldn't get version/kind; protobuf parse error: {error}") from None


def _name(version: str, kind: str) -> str:
    """The message of a kind. Options have the group of the request but are messages of meta/v1."""
    group, _, short = version.rpartition("/")
    name = f"{group.partition('.')[0] or 'core'}.{short}.{kind}"
    for known in (name, f"meta.v1.{kind}"):
        if known in _table():
            return known
    raise _Malformed(f'no kind "{kind}" is registered for version "{version}"')


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = orjson.loads(Path(__file__).with_name("protobuf_fields.json").read_bytes())
    return table


@lru_cache(maxsize=512)
def _schema(message: str) -> dict[int, _Field]:
    found = {}
    for number, text in _table()[message].items():
        name, kind = text.split()
        found[int(number)] = _Field(
            name.lstrip("+*"), name[0] == "+", name[0] == "*", kind[:2] == "[]", kind[:2] == "{}", kind.lstrip("[]{}")
        )
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) pairs: integers for varints, bytes for the rest."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise _Malformed(f"wire type {wire}")
        if at + size > end:
            raise _Malformed("unexpected EOF")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Malformed("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(name: str, data: bytes, depth: int) -> Obj:
    """A message as the JSON object it stands for: zero values that JSON leaves out are left out."""
    if depth > _DEPTH:
        raise _Malformed("nested too deeply")
    schema = _schema(name)
    found: Obj = {}
    for number, value in _fields(data):
        field = schema.get(number)
        if field is None:
            continue  # from a newer client
        if field.map:
            key, inner = _entry(field.type, value, depth)
            found.setdefault(field.name, {})[key] = inner
            continue
        decoded = _value(field.type, value, depth)
        if field.repeated:
            found.setdefault(field.name, []).append(decoded)
        elif field.inline:
            found |= decoded
        elif decoded is not None and (decoded or field.pointer or isinstance(decoded, dict)):
            found[field.name] = decoded
    return found


def _entry(kind: str, data: int | bytes, depth: int) -> tuple[str, Any]:
    key, value = "", _value(kind, b"", depth)
    for number, part in _fields(_bytes(data)):
        if number == 1:
            key = _bytes(part).decode()
        elif number == 2:
            value = _value(kind, part, depth)
    return key, value


def _value(kind: str, value: int | bytes, depth: int) -> Any:
    match kind:
        case "s":
            return _bytes(value).decode()
        case "i":
            return _integer(value)
        case "b":
            return _integer(value) != 0
        case "B":
            return b64encode(_bytes(value)).decode()
        case "d":
            return struct.unpack("<d", _bytes(value))[0]
    if special := _SPECIAL.get(kind):
        return special(_bytes(value))
    return _message(kind, _bytes(value), depth + 1)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Malformed("a number where bytes were expected")
    return value


def _integer(value: int | bytes) -> int:
    """Varints are 64 bits of two's complement."""
    if isinstance(value, bytes):
        raise _Malformed("bytes where a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def _moment(data: bytes) -> datetime | None:
    """None for Go's zero time, which is an empty message."""
    if not data:
        return None
    parts = dict(_fields(data))
    return _EPOCH + timedelta(seconds=_integer(parts.get(1, 0)), microseconds=_integer(parts.get(2, 0)) // 1000)


def _time(data: bytes) -> str | None:
    moment = _moment(data)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _microtime(data: bytes) -> str | None:
    moment = _moment(data)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _quantity(data: bytes) -> str:
    return _bytes(dict(_fields(data)).get(1, b"0")).decode()


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_fields(data))
    if _integer(parts.get(1, 0)) == 1:
        return _bytes(parts.get(3, b"")).decode()
    return _integer(parts.get(2, 0))


def _embedded(data: bytes) -> Any:
    """A RawExtension carries JSON."""
    raw = _bytes(dict(_fields(data)).get(1, b""))
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise _Malformed(f"embedded JSON: {error}") from None


def _strings(data: bytes) -> list[str]:
    """An ExtraValue is a list of texts in JSON."""
    return [_bytes(part).decode() for number, part in _fields(data) if number == 1]


def _ignored(data: bytes) -> None:
    return None


_SPECIAL: dict[str, Callable[[bytes], Any]] = {
    **dict.fromkeys((f"{g}.v1.ExtraValue" for g in ("authentication", "authorization", "certificates")), _strings),
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _microtime,
    "meta.v1.FieldsV1": _ignored,
    "resource.Quantity": _quantity,
    "intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _embedded,
}
