"""`sampan convert`: Ingresses in files → Gateway API on stdout, and on stderr what has no equal."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sampan.api.meta import Obj
from sampan.base.errors import UserError


class Target(StrEnum):
    GATEWAY_API = "gateway-api"


def convert(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="YAML or JSON; - is the standard input.")],
    to: Annotated[Target, typer.Option("--to", help="What to make of them.")] = Target.GATEWAY_API,
    gateway_class: Annotated[str, typer.Option("--class", help="The GatewayClass of the Gateways.")] = "sampan",
) -> None:
    """Turn Ingresses (the removed v1beta1 too) into Gateway API: YAML on stdout, what has no equal on stderr.

    Services and ConfigMaps in the files are looked up: named ports become numbers.
    """
    from sampan.gateway.convert import convert as converted
    from sampan.gateway.convert.legacy import is_ingress

    objects = [obj for name in files for obj in _objects(name)]
    if not any(is_ingress(obj) for obj in objects):
        hint = "apiVersion networking.k8s.io/v1, networking.k8s.io/v1beta1 or extensions/v1beta1, kind Ingress"
        raise UserError(f"there is no Ingress in {', '.join(files)}", hint)
    made = converted(objects, gateway_class)
    print("---\n".join(_yaml(obj) for obj in made.manifests), end="")
    for note in made.notes:
        print(note, file=sys.stderr)


def _objects(name: str) -> list[Obj]:
    import yaml

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        found: list[Any] = list(yaml.safe_load_all(text))
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{name} is no YAML: {' '.join(str(error).split())}") from None
    made: list[Obj] = []
    for document in found:
        items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else [document]
        for obj in items or ():
            if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
                if obj is not None:
                    raise UserError(f"{name} holds something that is no Kubernetes object")
                continue
            made.append(obj)
    return made


def _yaml(obj: Obj) -> str:
    import yaml

    return str(yaml.safe_dump(obj, sort_keys=False, width=120, allow_unicode=True))
