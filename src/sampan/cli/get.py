"""`sampan get KIND[/NAME] --at TIME`: what was there, read from the store's own history."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from sampan.api.meta import Obj
from sampan.app.config import Cluster, load_or_fail, state_root
from sampan.base.errors import UserError
from sampan.cli.diff import lines
from sampan.cli.moments import moment
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.cli.remote import Remote, Resource

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
OUTPUTS = ("", "wide", "yaml", "json", "name")
_GAP = 3


def get(
    what: Annotated[str, typer.Argument(metavar="KIND[/NAME]", help="pods, deployment/web …")],
    at: Annotated[str, typer.Option("--at", help="'10m ago', 14:05, 2026-11-20T14:05:00Z, or a revision.")] = "now",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace to look in.")] = "default",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Look in all namespaces.")] = False,
    selector: Annotated[str, typer.Option("--selector", "-l", help="Label selector.")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="wide, yaml, json or name.")] = "",
    cluster: ClusterName = DEFAULT_CLUSTER,
    state: StateDir = None,
) -> None:
    """Show objects as they are or, with --at, as they were."""
    if output not in OUTPUTS:
        raise UserError(f'there is no output format "{output}"', "-o wide, -o yaml, -o json, -o name")
    kind, _, name = what.partition("/")
    where = "" if everywhere else namespace
    found = load_or_fail(cluster, state_root(state))
    resource, body = asyncio.run(_ask(found, kind, name, where, selector, at, table=output in ("", "wide")))
    if name and not (body.get("items") or body.get("rows")):
        raise UserError(f'{resource.id} "{name}" was not found' + ("" if at == "now" else f" at {at}"))
    for line in shown(resource, body, output, one=bool(name), everywhere=everywhere):
        print(line)


async def _ask(
    cluster: Cluster, kind: str, name: str, namespace: str, selector: str, at: str, table: bool
) -> tuple[Resource, Obj]:
    async with Remote(cluster) as remote:
        resource = await remote.resource(kind)
        query = {"labelSelector": selector, "fieldSelector": f"metadata.name={name}" if name else ""}
        if at != "now":
            query["resourceVersion"] = await _revision(remote, at)
            query["resourceVersionMatch"] = "Exact"
        accept = TABLE if table else "application/json"
        try:
            return resource, await remote.get(resource.path(namespace), accept, **query)
        except UserError as error:
            if "too old" in error.message:
                raise _forgotten(at) from None
            raise


async def _revision(remote: Remote, at: str) -> str:
    if at.isascii() and at.isdigit():
        return at
    when = moment(at, datetime.now().astimezone())
    found = await remote.get("/apis/sampan.io/v1/revision", time=when.isoformat())
    if not found["revision"]:
        raise _forgotten(at)
    return str(found["revision"])


def _forgotten(at: str) -> UserError:
    return UserError(f"the history of this cluster does not go back to {at}", "sampan up --history 7d keeps a week")


def shown(resource: Resource, body: Obj, output: str, one: bool, everywhere: bool) -> Iterator[str]:
    """The answer as kubectl prints it."""
    if output in ("", "wide"):
        yield from table(body, wide=output == "wide", namespaces=everywhere and resource.namespaced)
        return
    kind = {"apiVersion": f"{resource.group}/{resource.version}".lstrip("/"), "kind": resource.kind}
    items = [kind | item for item in body["items"]]
    if output == "name":
        short = f"{resource.kind.lower()}.{resource.group}" if resource.group else resource.kind.lower()
        yield from (f"{short}/{item['metadata']['name']}" for item in items)
        return
    for item in items:
        item["metadata"].pop("managedFields", None)
    result = items[0] if one else {"apiVersion": "v1", "kind": "List", "items": items}
    if output == "json":
        yield json.dumps(result, indent=4)
    else:
        yield from lines(result)


def table(body: Obj, wide: bool, namespaces: bool) -> Iterator[str]:
    columns = [(n, c["name"]) for n, c in enumerate(body["columnDefinitions"]) if wide or not c.get("priority")]
    rows: list[list[str]] = [[name.upper() for _, name in columns]]
    rows += [[_cell(row["cells"][n]) for n, _ in columns] for row in body["rows"]]
    if namespaces:
        homes = ["NAMESPACE", *(row["object"]["metadata"]["namespace"] for row in body["rows"])]
        rows = [[home, *row] for home, row in zip(homes, rows, strict=True)]
    if len(rows) == 1:
        yield "No resources found"
        return
    widths = [max(map(len, column)) + _GAP for column in zip(*rows, strict=True)]
    for row in rows:
        yield "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return "<none>"
    return str(value).lower() if isinstance(value, bool) else str(value)
