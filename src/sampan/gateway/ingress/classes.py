"""Which Ingresses are this gateway's.

Source: https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class, ingress-nginx docs (multiple
Ingress controllers).
"""

from __future__ import annotations

from sampan.api import meta
from sampan.api.kinds.ingress import CLASS_ANNOTATION, NGINX
from sampan.api.meta import Obj
from sampan.gateway.types import Objects

NAME = "nginx"


def names(classes: Objects) -> frozenset[str]:
    """The classes that are served."""
    return frozenset(key.name for key, obj in classes.items() if (obj.get("spec") or {}).get("controller") == NGINX)


def ours(ingress: Obj, classes: frozenset[str]) -> bool:
    """The legacy annotation goes before the field; one that names neither is nobody's."""
    annotation = meta.annotations(ingress).get(CLASS_ANNOTATION)
    if annotation is not None:
        return annotation == NAME
    return (ingress.get("spec") or {}).get("ingressClassName") in classes
