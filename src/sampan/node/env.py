"""A container's environment, command and arguments.

Source: https://kubernetes.io/docs/tasks/inject-data-application/
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.node.fields import ConfigError, field_value, resource_value

_REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")
KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}


@dataclass(frozen=True)
class Ref:
    """A ConfigMap or Secret of the pod's namespace. `resource` is "configmaps" or "secrets"."""

    resource: str
    name: str


Found = Mapping[Ref, Obj | None]


class TokenRef(NamedTuple):
    """A token of the pod's service account: for whom, and for how many seconds."""

    audience: str
    seconds: int


# A token, or why there is none.
Tokens = Mapping[TokenRef, bytes | str]


def references(container: Obj) -> set[Ref]:
    """The ConfigMaps and Secrets that the environment needs."""
    found = set()
    for source in container.get("envFrom") or ():
        found.add(_from_ref(source)[0])
    for entry in container.get("env") or ():
        origin = entry.get("valueFrom") or {}
        for source, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if source in origin:
                found.add(Ref(resource, origin[source].get("name", "")))
    return found


@dataclass(frozen=True)
class Context:
    """What values may refer to. `objects` has every `references` (None: does not exist), `tokens` those of volumes."""

    pod: Obj
    pod_ip: str
    host_ip: str
    objects: Found
    services: Mapping[str, str]
    allocatable: Mapping[str, str]
    tokens: Tokens = field(default_factory=dict)


def environment(container: Obj, context: Context) -> dict[str, str]:
    """The variables a manifest asks for. Raises ConfigError with the kubelet's text."""
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        ref, optional = _from_ref(source)
        obj = _object(context.objects, ref, optional)
        if obj is not None:
            prefix = source.get("prefix", "")
            result |= {prefix + key: value.decode(errors="replace") for key, value in data(obj).items()}
    for entry in container.get("env") or ():
        if entry.get("valueFrom"):
            value = _value_from(entry["valueFrom"], container, context)
        else:
            value = expand(entry.get("value") or "", {**context.services, **result})
        if value is not None:
            result[entry["name"]] = value
    return {**context.services, **result}


def command(container: Obj, entrypoint: Iterable[str], cmd: Iterable[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """argv: `command` replaces the image's ENTRYPOINT and CMD, `args` alone only its CMD."""
    asked = tuple(expand(part, env) for part in container.get("command") or ())
    args = tuple(expand(part, env) for part in container.get("args") or ())
    return (asked or tuple(entrypoint)) + (args or (() if asked else tuple(cmd)))


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace $(NAME) by its value; unknown names stay as they are; $$ is a dollar sign."""
    return _REFERENCE.sub(lambda m: "$" if m[0] == "$$" else env.get(m[1], m[0]), text)


def data(obj: Obj) -> dict[str, bytes]:
    """The content of a ConfigMap or Secret by key."""
    if obj.get("kind") == "Secret" or "type" in obj:
        return {k: base64.b64decode(v or "") for k, v in (obj.get("data") or {}).items()}
    found = {k: v.encode() for k, v in (obj.get("data") or {}).items()}
    return found | {k: base64.b64decode(v or "") for k, v in (obj.get("binaryData") or {}).items()}


def _from_ref(source: Obj) -> tuple[Ref, bool]:
    resource, ref = (
        ("configmaps", source["configMapRef"])
        if "configMapRef" in source
        else ("secrets", source.get("secretRef") or {})
    )
    return Ref(resource, ref.get("name", "")), bool(ref.get("optional"))


def _object(objects: Found, ref: Ref, optional: bool) -> Obj | None:
    obj = objects.get(ref)
    if obj is None and not optional:
        raise ConfigError(f'{KINDS[ref.resource].lower()} "{ref.name}" not found')
    return obj


def _value_from(origin: Obj, container: Obj, context: Context) -> str | None:
    if source := origin.get("fieldRef"):
        return field_value(context.pod, source["fieldPath"], context.pod_ip, context.host_ip)
    if source := origin.get("resourceFieldRef"):
        target = _container(context.pod, source.get("containerName")) or container
        return resource_value(target, source, context.allocatable)
    resource, source = (
        ("configmaps", origin["configMapKeyRef"])
        if "configMapKeyRef" in origin
        else ("secrets", origin.get("secretKeyRef") or {})
    )
    optional = bool(source.get("optional"))
    obj = _object(context.objects, Ref(resource, source.get("name", "")), optional)
    content = data(obj).get(source["key"]) if obj is not None else None
    if content is None and not optional:
        where = f"{KINDS[resource]} {meta.namespace(context.pod)}/{source.get('name', '')}"
        raise ConfigError(f"couldn't find key {source['key']} in {where}")
    return None if content is None else content.decode(errors="replace")


def _container(pod: Obj, name: str | None) -> Obj | None:
    every = (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"])
    return next((c for c in every if c["name"] == name), None)
