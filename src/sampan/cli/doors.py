"""Where requests come into the gateway: the load balancer Services in front of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from sampan.api.meta import Obj
from sampan.base.errors import UserError

_DEFAULT = ("sampan-system", "gateway")
_HOST_PORTS = "sampan.io/host-ports"
_LOCAL = "localhost"
_GATEWAY = "gateway.networking.k8s.io/gateway-name"


@dataclass(frozen=True, slots=True)
class Door:
    """`name`: "" for Ingresses, else the Gateway's "NS/NAME". `inner`: the port at which the proxy listens."""

    name: str
    address: str
    port: int
    inner: int

    def __str__(self) -> str:
        what = f"Gateway {self.name}" if self.name else "Ingresses"
        inner = f" → {self.inner}" if self.inner != self.port else ""
        return f"{what}, {self.address or 'no address yet'} port {self.port}{inner}"

    def shown(self) -> Obj:
        return asdict(self)


def doors(services: Iterable[Obj]) -> list[Door]:
    """Those of Ingresses first."""
    return sorted(_doors(services), key=lambda door: (door.name, door.port))


def _doors(services: Iterable[Obj]) -> Iterator[Door]:
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        gateway = (metadata.get("labels") or {}).get(_GATEWAY)
        if not gateway and (metadata["namespace"], metadata["name"]) != _DEFAULT:
            continue
        balanced = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
        for port in spec.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                name = f"{metadata['namespace']}/{gateway}" if gateway else ""
                inner = port.get("targetPort") or port["port"]
                yield Door(name, balanced[0].get("ip", ""), port["port"], int(inner))
        for pair in filter(None, (metadata.get("annotations") or {}).get(_HOST_PORTS, "").split(",")):
            outer, _, inner = pair.partition(":")
            yield Door("", _LOCAL, int(outer), int(inner))


def leading(found: list[Door], host: str, port: int, gateway: str = "") -> list[Door]:
    """Those that a URL may mean: by the Gateway's name, by address, by port. Each once. Raises UserError."""
    if not found:
        raise UserError("there is no gateway yet: it comes with the first Ingress or Gateway", "kubectl get ingress -A")
    if gateway:
        found = [door for door in found if door.name == (gateway if "/" in gateway else f"default/{gateway}")]
        if not found:
            raise UserError(f"Gateway {gateway} has no listeners here", "kubectl get gateways -A")
    address = _LOCAL if host.startswith("127.") else host
    here = [door for door in found if door.address == address]
    at = [door for door in here or found if door.port == port]
    if not at:
        ports = ", ".join(str(door.port) for door in here or found)
        raise UserError(f"nothing of the gateway has port {port}", f"it has {ports}")
    once: dict[tuple[str, int], Door] = {}
    for door in at:
        once.setdefault((door.name, door.inner), door)
    return list(once.values())
