"""The dialect of Gateway API: `translate(resources)` → what the proxy shall do, and the statuses of all objects.

Gateways are read first, with the certificates and ListenerSets they name; then each route finds its listeners; then
it is compiled, once for all host names; then tables are laid out by host name. Each step is kept while nothing that it
read is another (`memo.py`).

Source: https://gateway-api.sigs.k8s.io/reference/1.6/spec/
"""

from sampan.gateway.gatewayapi.gateways import Gateway
from sampan.gateway.gatewayapi.names import COMPONENT, service_name
from sampan.gateway.gatewayapi.translate import Gateways, Translator, ours
from sampan.gateway.types import Resources, Result

__all__ = [
    "COMPONENT",
    "Gateway",
    "Gateways",
    "Translator",
    "ours",
    "service_name",
    "translate",
]


def translate(resources: Resources) -> Result:
    """Once, without a memory."""
    return Translator().translate(resources)
