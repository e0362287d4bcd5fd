"""The OpenAPI definitions of Kubernetes 1.32, from the data files of the package kubernetes-validate.

Read once, when first asked for (1.3 MB, 10 ms). We use its files only and never import its code.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

VERSION = "v1.32.0"
_REF = "#/$defs/"

Definition = dict[str, Any]


@lru_cache(maxsize=1)
def load() -> dict[str, Definition]:
    """All definitions by name ("io.k8s.api.core.v1.Pod"). Read-only."""
    spec = find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the package kubernetes-validate, which carries the Kubernetes schemas, is not installed"
        )
    folder = Path(spec.submodule_search_locations[0]) / "kubernetes-json-schema" / f"{VERSION}-local"
    found: dict[str, Definition] = orjson.loads((folder / "_definitions.json").read_bytes())["$defs"]
    return found


def ref(schema: Definition) -> str:
    """The name of the definition a schema refers to, or ""."""
    return str(schema.get("$ref", "")).removeprefix(_REF)


def type_of(schema: Definition) -> str:
    """The JSON type of a schema; the files write optional ones as [type, "null"]. "" when it has none."""
    found = schema.get("type", "")
    return str(found[0] if isinstance(found, list) else found)
