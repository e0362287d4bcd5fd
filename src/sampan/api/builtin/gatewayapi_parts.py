"""What several kinds of Gateway API are made of: names, references, listeners' and routes' statuses.

Source: https://gateway-api.sigs.k8s.io/reference/1.6/spec/
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.builtin import schema as s
from sampan.api.meta import Obj

GROUP = "gateway.networking.k8s.io"
HEADER = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"
_DOMAIN_PATH = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"
CONTROLLER_NAME = s.string(pattern=f"^{_DOMAIN_PATH}", least=1, most=253)
ADDRESS_TYPE = rf"^(Hostname|IPAddress|NamedAddress|{_DOMAIN_PATH[:-1]})$"
_GROUP = rf"^$|{s.HOST}"

HOSTNAME = s.string(pattern=s.WILD_HOST, least=1, most=253)
PRECISE_HOSTNAME = s.string(pattern=s.HOST, least=1, most=253)
SECTION = s.string(pattern=s.HOST, least=1, most=253)
NAME = s.string(least=1, most=253)
NAMESPACE = s.string(pattern=s.LABEL, least=1, most=63)
PORT = s.integer(least=1, most=65535, format="int32")
DURATION = s.string(pattern="^([0-9]{1,5}(h|m|s|ms)){1,4}$")
WEIGHT = s.integer(least=0, most=1_000_000, format="int32", default=1, about="Its share of the weights' sum.")
OPTIONS = s.map_of(s.string(most=4096), most=16)


def group(default: str | None = None) -> Obj:
    return s.string(pattern=_GROUP, most=253, default=default)


def kind(default: str | None = None) -> Obj:
    return s.string(pattern="^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$", least=1, most=63, default=default)


def atomic(
    items: Obj, *, least: int | None = None, most: int | None = None, rules: Sequence[Obj] = (), about: str = ""
) -> Obj:
    return s.array(items, least=least, most=most, list_type="atomic", rules=rules, about=about)


def reference(about: str = "", *, namespaced: bool = False, section: bool = False) -> Obj:
    """Group, kind and name, all said by the user."""
    properties = {"group": group(), "kind": kind(), "name": NAME}
    properties |= {"namespace": NAMESPACE} if namespaced else {}
    properties |= {"sectionName": SECTION} if section else {}
    return s.object(properties, required=("group", "kind", "name"), about=about)


SECRET = s.object(
    {"group": group(""), "kind": kind("Secret"), "name": NAME, "namespace": NAMESPACE}, required=("name",)
)

# -- routes

_PARENT = {
    "group": group(GROUP),
    "kind": kind("Gateway"),
    "namespace": NAMESPACE,
    "name": NAME,
    "sectionName": SECTION,
    "port": PORT,
}
PARENT = s.object(_PARENT, required=("name",))
_SAME = (
    "p.group == q.group && p.kind == q.kind && p.name == q.name"
    " && p.?__namespace__.orValue('') == q.?__namespace__.orValue('')"
)
_PARENT_RULES = (
    s.rule(
        f"self.all(p, self.all(q, !({_SAME})"
        " || (has(p.sectionName) == has(q.sectionName) && has(p.port) == has(q.port))))",
        "several references to one parent all need a sectionName, or all a port",
    ),
    s.rule(
        f"self.all(p, self.exists_one(q, {_SAME} && p.?sectionName.orValue('') == q.?sectionName.orValue('')"
        " && p.?port.orValue(0) == q.?port.orValue(0)))",
        "references to one parent must differ in sectionName or port",
    ),
)
PARENT_REFS = atomic(PARENT, most=32, rules=_PARENT_RULES, about="The Gateways and ListenerSets it wants to serve.")
COMMON_ROUTE = {"parentRefs": PARENT_REFS, "useDefaultGateways": s.string(enum=("All", "None"))}

_PORT_NEEDED = s.rule("self.group != '' || self.kind != 'Service' || has(self.port)", "a Service needs a port")
_BACKEND = {"group": group(""), "kind": kind("Service"), "namespace": NAMESPACE, "name": NAME, "port": PORT}


def backend(more: Obj | None = None) -> Obj:
    return s.object(_BACKEND | (more or {}), required=("name",), rules=(_PORT_NEEDED,))


BACKENDS = atomic(backend({"weight": WEIGHT}), least=1, most=16)
NAMES_DIFFER = s.rule(
    "self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.name == a.name))",
    "the names of rules must be unique in the route",
)

# -- statuses

CONDITIONS = s.CONDITIONS | {"minItems": 1}
ROUTE_STATUS = s.object(
    {
        "parents": atomic(
            s.object(
                {"parentRef": PARENT, "controllerName": CONTROLLER_NAME, "conditions": CONDITIONS},
                required=("parentRef", "controllerName", "conditions"),
            ),
            most=32,
        )
    },
    required=("parents",),
)
ROUTE_KIND = s.object({"group": group(GROUP), "kind": kind()}, required=("kind",))
LISTENER_STATUSES = s.array(
    s.object(
        {
            "name": SECTION,
            "supportedKinds": atomic(ROUTE_KIND, most=8),
            "attachedRoutes": s.integer(format="int32"),
            "conditions": s.CONDITIONS,
        },
        required=("name", "attachedRoutes", "conditions"),
    ),
    keys=("name",),
    most=64,
)


def waiting(*conditions: str) -> list[Obj]:
    """What stands in a status before any controller has looked at the object."""
    unknown = {
        "status": "Unknown",
        "reason": "Pending",
        "message": "Waiting for controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }
    return [{"type": name, **unknown} for name in conditions]


def status(properties: Obj, *conditions: str) -> Obj:
    """A status with conditions that are Unknown at first."""
    first = waiting(*conditions)
    return s.object(properties | {"conditions": s.CONDITIONS | {"default": first}}, default={"conditions": first})
