"""gateway.networking.k8s.io: the kinds of Gateway API 1.6, in all versions upstream still serves.

Source: https://gateway-api.sigs.k8s.io/reference/1.6/spec/
"""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.builtin import gatewayapi_parts as p
from sampan.api.builtin import gatewayapi_routes as routes
from sampan.api.builtin import schema as s
from sampan.api.meta import Obj

_APPROVED = {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/4530"}
_HOSTNAMES = s.column("Hostnames", ".spec.hostnames")


def definitions() -> tuple[Obj, ...]:
    of_class = (
        s.column("Controller", ".spec.controllerName"),
        _condition("Accepted"),
        s.AGE,
        s.column("Description", ".spec.description", wide=True),
    )
    of_gateway = (
        s.column("Class", ".spec.gatewayClassName"),
        s.column("Address", ".status.addresses[*].value"),
        _condition("Programmed"),
        s.AGE,
    )
    of_set = (_condition("Accepted"), _condition("Programmed"), s.AGE)
    policy = s.root(_backend_tls_policy(), _POLICY_STATUS)
    return (
        _define(
            "GatewayClass",
            "gatewayclasses",
            *_versions(s.root(_gateway_class(), _CLASS_STATUS), ("v1", "v1beta1"), of_class),
            short=("gc",),
            scope="Cluster",
        ),
        _define(
            "Gateway",
            "gateways",
            *_versions(s.root(_gateway(), _GATEWAY_STATUS), ("v1", "v1beta1"), of_gateway),
            short=("gtw",),
        ),
        _define(
            "ListenerSet",
            "listenersets",
            *_versions(s.root(_listener_set(), _SET_STATUS), ("v1",), of_set),
            short=("lset",),
        ),
        _define(
            "ReferenceGrant",
            "referencegrants",
            s.version("v1", s.root(_reference_grant()), columns=(s.AGE,), storage=False, status=False),
            s.version("v1beta1", s.root(_reference_grant()), columns=(s.AGE,), status=False),
            short=("refgrant",),
        ),
        _define(
            "BackendTLSPolicy",
            "backendtlspolicies",
            s.version("v1", policy, columns=(s.AGE,)),
            _old("BackendTLSPolicy", "v1alpha3", policy, ()),
            short=("btlspolicy",),
        ),
        _route("HTTPRoute", *_versions(_routed(routes.HTTP_ROUTE), ("v1", "v1beta1"), (_HOSTNAMES, s.AGE))),
        _route("GRPCRoute", *_versions(_routed(routes.GRPC_ROUTE), ("v1",), (_HOSTNAMES, s.AGE))),
        _route(
            "TLSRoute",
            s.version("v1", _routed(routes.tls_route(strict=True)), columns=(s.AGE,)),
            _old("TLSRoute", "v1alpha2", _routed(routes.tls_route(strict=False))),
            _old("TLSRoute", "v1alpha3", _routed(routes.tls_route(strict=True))),
        ),
        *(
            _route(
                kind,
                s.version("v1", _routed(routes.stream_route()), columns=(s.AGE,)),
                _old(kind, "v1alpha2", _routed(routes.stream_route(16))),
            )
            for kind in ("TCPRoute", "UDPRoute")
        ),
    )


def _condition(kind: str) -> Obj:
    return s.column(kind, f'.status.conditions[?(@.type=="{kind}")].status')


def _versions(schema: Obj, names: Sequence[str], columns: Sequence[Obj]) -> tuple[Obj, ...]:
    """The first is stored."""
    return tuple(s.version(name, schema, columns=columns, storage=name == names[0]) for name in names)


def _old(kind: str, name: str, schema: Obj, columns: Sequence[Obj] = (s.AGE,)) -> Obj:
    warning = f"{p.GROUP}/{name} {kind} is deprecated; use {p.GROUP}/v1 {kind}"
    return s.version(name, schema, columns=columns, storage=False, deprecated=warning)


def _define(kind: str, plural: str, *versions: Obj, short: Sequence[str] = (), scope: str = "Namespaced") -> Obj:
    return s.definition(
        p.GROUP,
        kind,
        plural,
        *versions,
        short=short,
        scope=scope,
        categories=("gateway-api",),
        annotations=_APPROVED,
    )


def _route(kind: str, *versions: Obj) -> Obj:
    return _define(kind, f"{kind.lower()}s", *versions)


def _routed(spec: Obj) -> Obj:
    return s.root(spec, p.ROUTE_STATUS)


# -- GatewayClass


def _gateway_class() -> Obj:
    fixed = (s.rule("self == oldSelf", "the controller of a class cannot be changed"),)
    return s.object(
        {
            "controllerName": p.CONTROLLER_NAME | {"x-kubernetes-validations": list(fixed)},
            "parametersRef": s.object(
                {"group": p.group(), "kind": p.kind(), "name": p.NAME, "namespace": p.NAMESPACE},
                required=("group", "kind", "name"),
            ),
            "description": s.string(most=64),
        },
        required=("controllerName",),
    )


_CLASS_STATUS = p.status(
    {
        "supportedFeatures": s.array(
            s.object({"name": s.string()}, required=("name",)), keys=("name",), most=64, about="What it can do."
        )
    },
    "Accepted",
)

# -- Gateway and ListenerSet

_SELECTED = {"selector": s.SELECTOR}


def _from(words: Sequence[str], default: str) -> Obj:
    return s.object({"from": s.string(enum=words, default=default)} | _SELECTED, default={"from": default})


_TLS = s.object(
    {
        "mode": s.string(enum=("Terminate", "Passthrough"), default="Terminate"),
        "certificateRefs": p.atomic(p.SECRET, most=64),
        "options": p.OPTIONS,
    },
    rules=(
        s.rule(
            "self.mode != 'Terminate' || self.?certificateRefs.orValue([]).size() > 0"
            " || self.?options.orValue({}).size() > 0",
            "to terminate TLS, certificateRefs or options are needed",
        ),
    ),
)
_PROTOCOL = (
    r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
    r"|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$"
)
_LISTENER = s.object(
    {
        "name": p.SECTION,
        "hostname": p.HOSTNAME,
        "port": p.PORT,
        "protocol": s.string(pattern=_PROTOCOL, least=1, most=255, about="HTTP, HTTPS, TLS, TCP or UDP."),
        "tls": _TLS,
        "allowedRoutes": s.object(
            {
                "namespaces": _from(("All", "Selector", "Same"), "Same"),
                "kinds": p.atomic(p.ROUTE_KIND, most=8),
            },
            default={"namespaces": {"from": "Same"}},
        ),
    },
    required=("name", "port", "protocol"),
)
_LISTENER_RULES = (
    s.rule("self.all(l, !(l.protocol in ['HTTP', 'TCP', 'UDP']) || !has(l.tls))", "HTTP, TCP and UDP have no tls"),
    s.rule(
        "self.all(l, l.protocol != 'HTTPS' || l.?tls.mode.orValue('Terminate') == 'Terminate')",
        "HTTPS terminates TLS: its mode is Terminate",
    ),
    s.rule("self.all(l, l.protocol != 'TLS' || has(l.tls))", "the protocol TLS needs tls.mode"),
    s.rule("self.all(l, !(l.protocol in ['TCP', 'UDP']) || !has(l.hostname))", "TCP and UDP have no hostname"),
    s.rule("self.all(a, self.exists_one(b, a.name == b.name))", "the names of listeners must be unique"),
    s.rule(
        "self.all(a, self.exists_one(b, a.port == b.port && a.protocol == b.protocol"
        " && a.?hostname.orValue('') == b.?hostname.orValue('')))",
        "listeners must differ in port, protocol or hostname",
    ),
)
_LISTENERS = s.array(_LISTENER, keys=("name",), least=1, most=64, rules=_LISTENER_RULES)
_ADDRESS = {"type": s.string(pattern=p.ADDRESS_TYPE, least=1, most=253, default="IPAddress")}
_IS_ADDRESS = s.rule("self.type != 'IPAddress' || !has(self.value) || isIP(self.value)", "not an IP address")
_IS_HOSTNAME = s.rule(
    "self.type != 'Hostname' || !has(self.value)"
    r" || self.value.matches(r'^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    "not a host name",
)


def _addresses() -> Obj:
    one = s.object(_ADDRESS | {"value": s.string(most=253)}, rules=(_IS_ADDRESS, _IS_HOSTNAME))
    unique = s.rule(
        "self.all(a, !has(a.value) || self.exists_one(b, b.type == a.type && b.?value.orValue('') == a.value))",
        "addresses must be unique",
    )
    return p.atomic(one, most=16, rules=(unique,), about="Ask for these; empty: any.")


def _meta_map(values: Obj, most: int) -> Obj:
    prefix = r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    keys = f"^{prefix}([A-Za-z0-9][-A-Za-z0-9_.]{{0,61}})?[A-Za-z0-9]$"
    rules = (
        s.rule(f"self.all(k, k.matches(r'{keys}'))", "a key is a name, with an optional DNS name and / before it"),
        s.rule("self.all(k, k.split('/')[0].size() < 253)", "the DNS name before / has at most 253 characters"),
    )
    return s.map_of(values, most=most, rules=rules)


_LABEL_VALUE = s.string(pattern="^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", most=63)
_CLIENTS = s.object(
    {
        "validation": s.object(
            {
                "caCertificateRefs": p.atomic(p.reference(namespaced=True), least=1, most=16),
                "mode": s.string(enum=("AllowValidOnly", "AllowInsecureFallback"), default="AllowValidOnly"),
            },
            required=("caCertificateRefs",),
            about="Clients must show a certificate of one of these authorities.",
        )
    }
)
_GATEWAY_TLS = s.object(
    {
        "backend": s.object({"clientCertificateRef": p.SECRET}),
        "frontend": s.object(
            {
                "default": _CLIENTS,
                "perPort": s.array(
                    s.object({"port": p.PORT, "tls": _CLIENTS}, required=("port", "tls")),
                    keys=("port",),
                    most=64,
                    rules=(s.rule("self.all(a, self.exists_one(b, a.port == b.port))", "one entry a port"),),
                ),
            },
            required=("default",),
        ),
    }
)


def _gateway() -> Obj:
    return s.object(
        {
            "gatewayClassName": p.NAME,
            "listeners": _LISTENERS,
            "addresses": _addresses(),
            "infrastructure": s.object(
                {
                    "labels": _meta_map(_LABEL_VALUE, 8),
                    "annotations": _meta_map(s.string(most=4096), 16),
                    "parametersRef": p.reference(),
                },
                about="What is put on the Service in front of this Gateway.",
            ),
            "allowedListeners": s.object(
                {"namespaces": _from(("All", "Selector", "Same", "None"), "None")}, about="Whose ListenerSets count."
            ),
            "tls": _GATEWAY_TLS,
            "defaultScope": s.string(enum=("All", "None")),
        },
        required=("gatewayClassName", "listeners"),
    )


_STATUS_ADDRESS = s.object(
    _ADDRESS | {"value": s.string(least=1, most=253)}, required=("value",), rules=(_IS_ADDRESS, _IS_HOSTNAME)
)
_GATEWAY_STATUS = p.status(
    {
        "addresses": p.atomic(_STATUS_ADDRESS, most=16),
        "listeners": p.LISTENER_STATUSES,
        "attachedListenerSets": s.integer(format="int32"),
    },
    "Accepted",
    "Programmed",
)


def _listener_set() -> Obj:
    parent = s.object(
        {"group": p.group(p.GROUP), "kind": p.kind("Gateway"), "name": p.NAME, "namespace": p.NAMESPACE},
        required=("name",),
    )
    return s.object({"parentRef": parent, "listeners": _LISTENERS}, required=("parentRef", "listeners"))


_SET_STATUS = p.status({"listeners": p.LISTENER_STATUSES}, "Accepted", "Programmed")

# -- ReferenceGrant and BackendTLSPolicy


def _reference_grant() -> Obj:
    origin = s.object(
        {"group": p.group(), "kind": p.kind(), "namespace": p.NAMESPACE}, required=("group", "kind", "namespace")
    )
    target = s.object({"group": p.group(), "kind": p.kind(), "name": p.NAME}, required=("group", "kind"))
    return s.object(
        {
            "from": p.atomic(origin, least=1, most=16, about="Who may refer."),
            "to": p.atomic(target, least=1, most=16, about="To what in this namespace."),
        },
        required=("from", "to"),
    )


_SAME_TARGET = "a.group == b.group && a.kind == b.kind && a.name == b.name"
_ANY_URI = r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?"
_WELL_KNOWN = (
    r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    r"/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$"
)


def _backend_tls_policy() -> Obj:
    targets = p.atomic(
        p.reference(section=True),
        least=1,
        most=16,
        rules=(
            s.rule(
                f"self.all(a, self.all(b, !({_SAME_TARGET}) || has(a.sectionName) == has(b.sectionName)))",
                "several references to one target all need a sectionName",
            ),
            s.rule(
                f"self.all(a, self.exists_one(b, {_SAME_TARGET}"
                " && a.?sectionName.orValue('') == b.?sectionName.orValue('')))",
                "references to one target must differ in sectionName",
            ),
        ),
    )
    name = s.object(
        {
            "type": s.string(enum=("Hostname", "URI")),
            "hostname": p.HOSTNAME,
            "uri": s.string(pattern=_ANY_URI, least=1, most=253),
        },
        required=("type",),
        rules=tuple(
            s.rule(f"has(self.{kind.lower()}) == (self.type == '{kind}')", f"{kind.lower()} goes with the type {kind}")
            for kind in ("Hostname", "URI")
        ),
    )
    validation = s.object(
        {
            "hostname": p.PRECISE_HOSTNAME | {"description": "Sent as SNI, and looked for in the certificate."},
            "caCertificateRefs": p.atomic(p.reference(), most=8),
            "wellKnownCACertificates": s.string(pattern=_WELL_KNOWN, least=1, most=253),
            "subjectAltNames": p.atomic(name, most=5, about="Looked for in the certificate instead of hostname."),
        },
        required=("hostname",),
        rules=(
            s.rule(
                "(self.?caCertificateRefs.orValue([]).size() > 0) != has(self.wellKnownCACertificates)",
                "either caCertificateRefs or wellKnownCACertificates",
            ),
        ),
    )
    return s.object(
        {"targetRefs": targets, "validation": validation, "options": p.OPTIONS}, required=("targetRefs", "validation")
    )


_POLICY_STATUS = s.object(
    {
        "ancestors": p.atomic(
            s.object(
                {"ancestorRef": p.PARENT, "controllerName": p.CONTROLLER_NAME, "conditions": p.CONDITIONS},
                required=("ancestorRef", "controllerName", "conditions"),
            ),
            most=16,
        )
    },
    required=("ancestors",),
)
