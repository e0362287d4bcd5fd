"""Kinds that sampan brings as custom resources: served from the first start, no `kubectl apply -f crds.yaml` needed.

They are CustomResourceDefinitions as any other (`server/builtin.py` puts them into the store), so a user may apply the
upstream project's own definitions over them.

To add a group: one file here with `definitions()`, made with the builder in `schema.py` (`certmanager.py` shows how),
and one row below. Nothing is imported or built before a definition is missing or its text here has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from sampan.api.meta import Obj

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Group:
    """`module`: the file here that defines them. `names`: its definitions, known without importing it.

    `parts`: the other files it is made of.
    """

    module: str
    names: tuple[str, ...]
    parts: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Another one when the definitions may be others: it is that of the source, which is read faster than run."""
        files = (_FOLDER / f"{name}.py" for name in ("schema", self.module, *self.parts))
        return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]

    def definitions(self) -> dict[str, Obj]:
        """Name → CustomResourceDefinition. They share parts: read-only."""
        build: Callable[[], tuple[Obj, ...]] = import_module(f"{__name__}.{self.module}").definitions
        return {crd["metadata"]["name"]: crd for crd in build()}


GROUPS = (
    Group(
        "certmanager",
        tuple(
            f"{name}.cert-manager.io" for name in ("certificaterequests", "certificates", "clusterissuers", "issuers")
        ),
    ),
    Group(
        "gatewayapi",
        tuple(
            f"{name}.gateway.networking.k8s.io"
            for name in (
                *("backendtlspolicies", "gatewayclasses", "gateways", "grpcroutes", "httproutes", "listenersets"),
                *("referencegrants", "tcproutes", "tlsroutes", "udproutes"),
            )
        ),
        parts=("gatewayapi_parts", "gatewayapi_routes"),
    ),
)
