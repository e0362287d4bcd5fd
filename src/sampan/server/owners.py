"""managedFields of the registry's writes: who owns what afterwards, as the JSON that is stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from sampan.api.managedfields import entries
from sampan.api.managedfields.entries import Entries, Writer
from sampan.api.meta import Obj, timestamp
from sampan.api.status import ApiError
from sampan.server.binding import Binding
from sampan.server.types import Held, Options

# Subresources whose writes are nobody's: the scheduler's binding.
_UNTRACKED = ("binding",)


def created(binding: Binding, new: Obj, sent: Any, options: Options, now: datetime) -> bytes:
    """The owners of a new object. `sent`: metadata.managedFields as the client sent it (a restored backup has some)."""
    if options.applies:
        return _encode(sent)
    before = sent if _usable(sent) else []
    return _encode(entries.update(binding.structure, before, {}, new, _writer(binding, options, ""), timestamp(now)))


def updated(
    binding: Binding, old: Held, new: Obj, sent: Any, options: Options, subresource: str, now: datetime
) -> bytes:
    """The owners after a change of `old` to `new`."""
    if options.applies:
        return _encode(sent)
    reset = entries.is_reset(sent) and not subresource
    if subresource in _UNTRACKED or (new == old.obj and not reset and not _usable(sent)):
        return old.managed
    before = old.owners
    if reset:
        before = []
    elif not subresource and _usable(sent) and sent != before:
        before = sent
    elif new == old.obj:
        return old.managed
    writer = _writer(binding, options, subresource)
    return _encode(entries.update(binding.structure, before, old.obj, new, writer, timestamp(now)))


def applied(binding: Binding, old: Held | None, config: Obj, options: Options, subresource: str, now: datetime) -> Obj:
    """The object after a server-side apply of `config`, its owners in metadata.managedFields.

    Raises ApiError 400, and 409 for conflicts.
    """
    if config["metadata"].pop("managedFields", None):
        raise ApiError(400, "BadRequest", "metadata.managedFields must be nil")
    before = old.owners if old is not None else []
    live = old.obj if old is not None else {}
    writer = _writer(binding, options, subresource)
    done = entries.apply(binding.structure, before, live, config, writer, timestamp(now), options.force)
    return {**done.obj, "metadata": {**done.obj["metadata"], "managedFields": done.entries}}


def _writer(binding: Binding, options: Options, subresource: str) -> Writer:
    resource = binding.resource
    return Writer(options.manager, resource.api_version, subresource, resource.status)


def _usable(sent: Any) -> bool:
    """Entries a client sent that mean something: others are as good as none."""
    return (
        isinstance(sent, list)
        and bool(sent)
        and all(isinstance(e, dict) and e.get("operation") and isinstance(e.get("fieldsV1"), dict) for e in sent)
    )


def _encode(found: Entries) -> bytes:
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS) if found else b""
