"""How the kinds and conditions of Gateway API are called here and there."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.gateway.types import Ref

GROUP: Final = "gateway.networking.k8s.io"
COMPONENT: Final = "sampan-gateway"
GATEWAY_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
CLASS_LABEL: Final = "gateway.networking.k8s.io/gateway-class-name"

GATEWAYS = f"gateways.{GROUP}"
SETS = f"listenersets.{GROUP}"
GRANTS = f"referencegrants.{GROUP}"
POLICIES = f"backendtlspolicies.{GROUP}"
# Route kind → resource.
ROUTES = {kind: f"{kind.lower()}s.{GROUP}" for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")}
KINDS = {resource: kind for kind, resource in ROUTES.items()}
PARENTS = {"Gateway": GATEWAYS, "ListenerSet": SETS}


def condition(kind: str, status: bool, reason: str, message: str, obj: Obj) -> Obj:
    """Without lastTransitionTime, which is the writer's: it knows what was there before."""
    return {
        "type": kind,
        "status": "True" if status else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": obj["metadata"].get("generation", 0),
    }


def age(obj: Obj) -> tuple[str, str, str]:
    """Who comes first where two want the same: the older, then by name."""
    return obj["metadata"].get("creationTimestamp", ""), meta.namespace(obj), meta.name(obj)


def ref(resource: str, obj: Obj) -> Ref:
    return Ref(resource, meta.namespace(obj), meta.name(obj))


def label_value(text: str, most: int = 63) -> str:
    """The text, or as much of it as fits with a hash of the rest."""
    return text if len(text) <= most else f"{text[: most - 9].rstrip('-.')}-{_digest(text)}"


def service_name(gateway: str) -> str:
    """Of the Service in front of a Gateway. Gateways may have longer names than Services, and dots in them."""
    plain = gateway.replace(".", "-")
    return label_value(f"gateway-{plain}" if plain == gateway else f"gateway-{plain}-{_digest(gateway)}")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]
