"""What a client sends and wants back: Accept, Content-Type, query parameters. Pure; header texts are parsed once.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import orjson

from sampan.api import fields as faults
from sampan.api import schema, walkers
from sampan.api.managedfields.entries import manager_name
from sampan.api.meta import Obj
from sampan.api.status import ApiError, FieldError, bad_request, invalid, unsupported_media_type
from sampan.base.http.types import Request
from sampan.server.types import SYSTEM, Deletion, Options, User
from sampan.server.watch import Asked

Query = dict[str, list[str]]

_PROTOBUF = "application/vnd.kubernetes.protobuf"
_BODY_TYPES = f"application/json, application/yaml, {_PROTOBUF}"
_JSON = ("application/json", "application/*", "*/*", "")
_VALIDATION = ("Ignore", "Strict", "Warn")
_LONGEST_MANAGER = 128
_PATCH = "PatchOptions"


class Shape(NamedTuple):
    """`kind` is "", Table, PartialObjectMetadata or PartialObjectMetadataList; `version` that of meta.k8s.io."""

    kind: str = ""
    version: str = "v1"


PLAIN = Shape()
_SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@lru_cache(maxsize=256)
def accepted(header: str) -> Shape:
    """The first representation of the Accept header that we have (protobuf we have not). Raises ApiError 406."""
    for part in header.split(","):
        media, *parameters = (p.strip() for p in part.split(";"))
        if media not in _JSON:
            continue
        given = dict(p.split("=", 1) for p in parameters if "=" in p)
        kind = given.get("as", "")
        if not kind:
            return PLAIN
        if kind in _SHAPES and given.get("g") == "meta.k8s.io" and given.get("v") in ("v1", "v1beta1"):
            return Shape(kind, given["v"])
    raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {_BODY_TYPES}")


def json_body(request: Request) -> bytes:
    """The body as JSON text; YAML and protobuf are translated. Raises ApiError 400, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind in ("application/json", ""):
        return request.body
    if kind in ("application/yaml", "application/x-yaml", "text/yaml"):
        return yaml_body(request.body)
    if kind == _PROTOBUF:
        from sampan.server import protobuf  # only kubectl's own `create` commands and Go controllers send it

        return orjson.dumps(protobuf.decode(request.body))
    raise unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {_BODY_TYPES}"
    )


def yaml_body(body: bytes) -> bytes:
    """A YAML document (JSON is one too) as JSON text. Raises ApiError 400."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        from sampan.server import yamls

        return yamls.to_json(body)
    return body


# Bodies that are no resource of the scheme.
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
BINDING = "io.k8s.api.core.v1.Binding"
EVICTION = "io.k8s.api.policy.v1.Eviction"


def parse_body(request: Request, definition: str) -> Obj:
    """The object in the body, {} without one, checked by its definition. Raises ApiError 400, 415."""
    if not request.body:
        return {}
    obj = schema.parse(json_body(request))
    try:
        walkers.walk(definition, obj)
    except ValueError as error:
        raise bad_request(str(error)) from None
    return obj


def one(query: Query, name: str, default: str = "") -> str:
    values = query.get(name)
    return values[0] if values else default


def flag(query: Query, name: str) -> bool:
    """A boolean parameter as Go reads it: present without a value is true."""
    values = query.get(name)
    return values is not None and values[0].lower() not in ("false", "0")


def initial_events(query: Query) -> bool | None:
    return flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None


def integer(query: Query, name: str) -> int | None:
    """Raises ApiError 400."""
    text = one(query, name)
    if not text:
        return None
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 19:
        return int(text)
    why = "value out of range" if digits.isdigit() else "invalid syntax"
    raise bad_request(f'{name}: Invalid value: "{text}": strconv.ParseInt: parsing "{text}": {why}')


def options(query: Query, user: User = SYSTEM, agent: str = "", kind: str = "CreateOptions") -> Options:
    """dryRun, fieldValidation, fieldManager of a write. `agent`: the User-Agent, `kind`: of the options.

    Raises ApiError 422 for values that do not exist.
    """
    dry_run = _dry_run(query.get("dryRun") or [], kind)
    validation = one(query, "fieldValidation")
    if validation and validation not in _VALIDATION:
        raise _invalid_option(kind, faults.not_supported("fieldValidation", validation, _VALIDATION))
    manager = one(query, "fieldManager")
    if len(manager.encode()) > _LONGEST_MANAGER:
        raise _invalid_option(kind, faults.too_long("fieldManager", _LONGEST_MANAGER))
    if not manager.isprintable():
        raise _invalid_option(kind, faults.invalid("fieldManager", manager, "should only contain printable characters"))
    return Options(dry_run=dry_run, validation=validation or "Warn", user=user, manager=manager_name(manager, agent))


def apply_options(query: Query, user: User = SYSTEM) -> Options:
    """Those of a server-side apply, which must name its manager."""
    if not one(query, "fieldManager"):
        raise _invalid_option(_PATCH, faults.required("fieldManager", "is required for apply patch"))
    found = options(query, user, "", _PATCH)
    found.force = flag(query, "force")
    return found


def patch_options(query: Query, user: User, agent: str) -> Options:
    if "force" in query:
        raise _invalid_option(_PATCH, faults.forbidden("force", "may not be specified for non-apply patch"))
    return options(query, user, agent, _PATCH)


def _dry_run(values: list[str], kind: str) -> bool:
    for value in values:
        if value != "All":
            raise _invalid_option(kind, faults.not_supported("dryRun", value, ("All",)))
    return bool(values)


def _invalid_option(kind: str, fault: FieldError) -> ApiError:
    return invalid("meta.k8s.io", kind, "", [fault])


def deletion(query: Query, body: Obj, user: User = SYSTEM) -> Deletion:
    """DeleteOptions from the body or, without one, from the query. Raises ApiError 400, 422."""
    conditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    if grace is None:
        grace = integer(query, "gracePeriodSeconds")
    propagation = body.get("propagationPolicy") or one(query, "propagationPolicy")
    orphan = body.get("orphanDependents")
    if orphan is None and query.get("orphanDependents"):
        orphan = flag(query, "orphanDependents")
    if not propagation and orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    return Deletion(
        grace=grace,
        propagation=propagation,
        uid=conditions.get("uid") or "",
        revision=conditions.get("resourceVersion") or "",
        dry_run=_dry_run(body.get("dryRun") or query.get("dryRun") or [], "DeleteOptions"),
        user=user,
    )


def watch(query: Query, name: str = "") -> Asked:
    """`name`: the one object to watch, as in GET …/NAME?watch=1."""
    fields = one(query, "fieldSelector")
    if name:
        fields = ",".join(filter(None, (fields, f"metadata.name={name}")))
    return Asked(
        after=one(query, "resourceVersion"),
        labels=one(query, "labelSelector"),
        fields=fields,
        timeout=float(integer(query, "timeoutSeconds") or 0),
        bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial=initial_events(query),
        match=one(query, "resourceVersionMatch"),
        token=one(query, "continue"),
    )
