"""`sampan history KIND/NAME`: who changed it when, and how."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from sampan.api.meta import Obj
from sampan.app.config import load_or_fail, state_root
from sampan.base.errors import UserError
from sampan.cli.diff import changes
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.cli.remote import Remote

COLORS = {"-": "31", "+": "32"}
_VERBS = {"ADDED": "create", "MODIFIED": "update", "DELETED": "delete"}


def history(
    what: Annotated[str, typer.Argument(metavar="KIND/NAME", help="deployment/web, pod/web-0, ns/default …")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the object.")] = "default",
    limit: Annotated[int, typer.Option("--limit", help="Show so many of the newest changes.")] = 50,
    output: Annotated[str, typer.Option("--output", "-o", help="json: everything, with the objects.")] = "",
    cluster: ClusterName = DEFAULT_CLUSTER,
    state: StateDir = None,
) -> None:
    """Show who changed an object when, with differences, as far as the store's history goes back."""
    if output not in ("", "json"):
        raise UserError(f'there is no output format "{output}"', "-o json")
    kind, slash, name = what.partition("/")
    if not (kind and slash and name):
        raise UserError(f'"{what}" is not KIND/NAME', "sampan history deployment/web")
    found = asyncio.run(_ask(load_or_fail(cluster, state_root(state)), kind, name, namespace, limit))
    if output == "json":
        print(json.dumps(found, indent=2))
        return
    for line in shown(found):
        print(colored(line) if sys.stdout.isatty() else line)


async def _ask(cluster: Any, kind: str, name: str, namespace: str, limit: int) -> Obj:
    async with Remote(cluster) as remote:
        resource = await remote.resource(kind)
        where = namespace if resource.namespaced else ""
        query = {"resource": resource.id, "name": name, "namespace": where, "limit": str(limit)}
        result: Obj = await remote.get("/apis/sampan.io/v1/history", **query)
        return result


def shown(found: Obj) -> Iterator[str]:
    """The report, oldest change first."""
    items = found["items"]
    if len(items) < found["total"]:
        yield f"({found['total'] - len(items)} earlier changes are not shown: --limit)"
    for item in items:
        when = datetime.fromtimestamp(item["time"]).astimezone()
        yield f"{when:%Y-%m-%d %H:%M:%S}  revision {item['revision']}  {_who(item)}"
        yield from (f"    {line}" for line in _changes(item))


def _who(item: Obj) -> str:
    """`kubernetes-admin  patch  kubectl/v1.32.4 from 127.0.0.1`"""
    author = item["author"]
    user = author.get("user") or "somebody"
    if author.get("by"):
        user = f"{user} (asked by {author['by']})"
    verb = author.get("verb") or _VERBS[item["type"]]
    if item["type"] == "DELETED" and not verb.startswith("delete"):
        verb = f"{verb}, which deleted it"
    agent = author.get("agent", "").split(" ")[0]
    address = f"from {author['ip']}" if author.get("ip") else ""
    return "  ".join(filter(None, (user, verb, " ".join(filter(None, (agent, address))))))


def _changes(item: Obj) -> Iterator[str]:
    if item["type"] == "DELETED":
        return
    if item["type"] == "MODIFIED" and "previous" not in item:
        yield "(what was before is not kept any more)"
        return
    yield from changes(item.get("previous") or {}, item["object"])


def colored(line: str) -> str:
    color = COLORS.get(line.lstrip(" ")[:1], "") if line.startswith(" ") else "1"
    return f"\x1b[{color}m{line}\x1b[0m" if color else line
