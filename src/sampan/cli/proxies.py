"""What the verbs about proxies share: the pages of the xDS server, tables, output formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from sampan.base.errors import UserError
from sampan.cli.remote import Remote

GAP = 3
KIND = "sampan-system/gateway"
Output = Annotated[str, typer.Option("--output", "-o", help="json or yaml: everything, for programs.")]


async def page(remote: Remote, name: str, /, **query: str | Sequence[str]) -> Any:
    """/sampan/xds/NAME. Raises UserError: also while there is no gateway."""
    found = await remote.get(f"/sampan/xds/{name}", "application/json", **query)
    if found is None:
        raise UserError(
            "there is no gateway yet: it comes with the first Ingress or Gateway",
            "kubectl create ingress web --class=nginx --rule='/*=SERVICE:PORT'",
        )
    return found


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    lines = [list(columns), *rows]
    widths = [max(map(len, column)) + GAP for column in zip(*lines, strict=True)]
    for line in lines:
        yield "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def check_output(output: str) -> None:
    if output not in ("", "json", "yaml"):
        raise UserError(f'there is no output format "{output}"', "-o json or -o yaml")


def dump(value: Any, output: str) -> None:
    if output == "json":
        print(json.dumps(value, indent=2, ensure_ascii=False))
        return
    import yaml

    print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")
