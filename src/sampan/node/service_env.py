"""Environment variables that name the Services a pod may use, in Kubernetes' and in Docker links' form.

Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import meta
from sampan.api.meta import Obj


def service_env(services: Iterable[Obj], namespace: str, links: bool) -> dict[str, str]:
    """Variables for the Services of `namespace` (only with `links`, the pod's enableServiceLinks) and for the API's."""
    found: dict[str, str] = {}
    for service in sorted(services, key=meta.key):
        api = meta.key(service) == ("default", "kubernetes")
        if api or (links and meta.namespace(service) == namespace):
            # A Service called "kubernetes" of the pod's own namespace wins over the API's.
            variables = _variables(service)
            found = variables | found if api else found | variables
    return found


def _variables(service: Obj) -> dict[str, str]:
    spec = service["spec"]
    address, ports = spec.get("clusterIP", ""), spec.get("ports") or []
    if address in ("", "None") or not ports:
        return {}
    prefix = _name(meta.name(service))
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{_name(port['name'])}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        number = str(port["port"])
        url = f"{protocol.lower()}://{address}:{number}"
        link = f"{prefix}_PORT_{number}_{protocol.upper()}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        found |= {link: url, f"{link}_PROTO": protocol.lower(), f"{link}_PORT": number, f"{link}_ADDR": address}
    return found


def _name(text: str) -> str:
    return text.upper().replace("-", "_")
