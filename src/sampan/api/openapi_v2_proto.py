"""OpenAPI v2 in protobuf: application/com.github.proto-openapi.spec.v2@v1.0+protobuf.

kubectl (1.20 as well as 1.32) asks for /openapi/v2 in this form only. Source: the message openapi.v2.Document of
https://github.com/google/gnostic (openapiv2/OpenAPIv2.proto); the numbers below are its field numbers. Written with
the few lines of protobuf wire format it takes: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from sampan.api.meta import Obj

Encoder = Callable[[Any], bytes]

# Clients ask with @ in the name, which is no valid media type: Go's mime package refuses it in an answer.
ACCEPTED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def encode(document: Obj) -> bytes:
    """The bytes of a v2 document (`openapi.v2`)."""
    return _message(document, _DOCUMENT)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field: strings and messages."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + (b"\x01" if value else b"\x00")


def _text(number: int) -> Encoder:
    return lambda value: _field(number, value.encode())


def _texts(number: int) -> Encoder:
    return lambda values: b"".join(_field(number, v.encode()) for v in values)


def _bool(number: int) -> Encoder:
    return lambda value: _flag(number, value)


def _any(value: Any) -> bytes:
    """An Any carries YAML, and JSON is YAML."""
    return _field(2, orjson.dumps(value))


def _named(values: Iterable[tuple[str, Any]], number: int, encoder: Encoder) -> bytes:
    """Maps are repeated (name, value) messages."""
    return b"".join(_field(number, _field(1, name.encode()) + _field(2, encoder(value))) for name, value in values)


def _message(value: Obj, encoders: dict[str, Encoder], extensions: int = 0) -> bytes:
    """A message by its table; `extensions` is the number of its vendor_extension field."""
    found = b"".join(encoders[key](inner) for key, inner in value.items() if key in encoders)
    extra = [(key, inner) for key, inner in value.items() if key.startswith("x-")] if extensions else []
    return found + _named(extra, extensions, _any)


def _schema(value: Obj) -> bytes:
    return _message(value, _SCHEMA, 31)


def _additional(value: Any) -> bytes:
    return _flag(2, value) if isinstance(value, bool) else _field(1, _schema(value))


_SCHEMA: dict[str, Encoder] = {
    "$ref": _text(1),
    "format": _text(2),
    "title": _text(3),
    "description": _text(4),
    "required": _texts(19),
    "enum": lambda values: b"".join(_field(20, _any(v)) for v in values),
    "additionalProperties": lambda value: _field(21, _additional(value)),
    "type": lambda value: _field(22, _field(1, value.encode())),
    "items": lambda value: _field(23, _field(1, _schema(value))),
    "properties": lambda value: _field(25, _named(value.items(), 1, _schema)),
}

_BODY: dict[str, Encoder] = {
    "description": _text(1),
    "name": _text(2),
    "in": _text(3),
    "required": _bool(4),
    "schema": lambda value: _field(5, _schema(value)),
}
_QUERY: dict[str, Encoder] = {
    "required": _bool(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(6),
}
_PATH = _QUERY | {"type": _text(5)}


def _parameter(value: Obj) -> bytes:
    """A ParametersItem: oneof inside oneof, by the place of the parameter."""
    if value["in"] == "body":
        return _field(1, _field(1, _message(value, _BODY, 6)))
    number, encoders, extensions = (3, _QUERY, 23) if value["in"] == "query" else (4, _PATH, 22)
    return _field(1, _field(2, _field(number, _message(value, encoders, extensions))))


def _response(value: Obj) -> bytes:
    return _field(1, _field(1, value["description"].encode()) + _field(2, _field(1, _schema(value["schema"]))))


_OPERATION: dict[str, Encoder] = {
    "tags": _texts(1),
    "description": _text(3),
    "operationId": _text(5),
    "produces": _texts(6),
    "consumes": _texts(7),
    "parameters": lambda values: b"".join(_field(8, _parameter(v)) for v in values),
    "responses": lambda value: _field(9, _named(value.items(), 1, _response)),
    "schemes": _texts(10),
}


def _operation(number: int) -> Encoder:
    return lambda value: _field(number, _message(value, _OPERATION, 13))


_PATH_ITEM: dict[str, Encoder] = {
    method: _operation(number) for method, number in (("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8))
}

_INFO: dict[str, Encoder] = {"title": _text(1), "version": _text(2)}

_DOCUMENT: dict[str, Encoder] = {
    "swagger": _text(1),
    "info": lambda value: _field(2, _message(value, _INFO)),
    "paths": lambda value: _field(8, _named(value.items(), 2, lambda item: _message(item, _PATH_ITEM))),
    "definitions": lambda value: _field(9, _named(value.items(), 1, _schema)),
}
