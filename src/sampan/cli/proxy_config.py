"""`sampan proxy-config TYPE [POD]`: what the proxies are told, and whether a pod's Envoy has it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from sampan.api.meta import Key, Obj
from sampan.app.config import Cluster, load_or_fail, state_root
from sampan.cli.envoy_admin import Part, parts
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.cli.proxies import KIND, Output, check_output, dump, page, table
from sampan.cli.remote import Remote


class Type(StrEnum):
    LISTENERS = "listeners"
    ROUTES = "routes"
    CLUSTERS = "clusters"
    ENDPOINTS = "endpoints"
    SECRETS = "secrets"


def proxy_config(
    kind: Annotated[Type, typer.Argument(metavar="TYPE", help="listeners, routes, clusters, endpoints or secrets.")],
    pod: Annotated[str, typer.Argument(metavar="[POD]", help="Compare with this pod's Envoy (NAME or NS/NAME).")] = "",
    name: Annotated[str, typer.Option("--name", help="Only the resource of this name.")] = "",
    proxies: Annotated[str, typer.Option("--kind", help="Of which proxies: the gateway's, or grpc.")] = KIND,
    output: Output = "",
    cluster: ClusterName = DEFAULT_CLUSTER,
    state: StateDir = None,
) -> int:
    """Show what the control plane tells the gateway's proxies. With POD its Envoy is asked what it has, and what
    differs is marked; exit status 1 when something does. Keys and passwords are not shown.
    """
    check_output(output)
    found, has = asyncio.run(_ask(load_or_fail(cluster, state_root(state)), kind, pod, name, proxies, output))
    differing = dict(differences(kind, found["versions"], has or ()))
    if output:
        dump(found if has is None else {**found, "proxy": [_part(part, differing) for part in has]}, output)
    else:
        for line in table(found["columns"], found["rows"]):
            print(line)
    for resource, what in differing.items():
        print(f"{resource}: {what}", file=sys.stderr)
    return 1 if differing else 0


async def _ask(
    cluster: Cluster, kind: Type, pod: str, name: str, proxies: str, output: str
) -> tuple[Obj, list[Part] | None]:
    async with Remote(cluster) as remote:
        form = "json" if output else "table"
        found = await page(remote, "config", kind=proxies, type=str(kind), name=name, **{"as": form})
        if not pod:
            return found, None
        namespace, _, called = pod.rpartition("/")
        key = Key(namespace or "sampan-system", called)
        obj: Any = await remote.get(f"/api/v1/namespaces/{key.namespace}/pods/{key.name}")
    return found, [part for part in parts(cluster, obj, str(kind)) if name in ("", part.name)]


def _part(part: Part, differing: Mapping[str, str]) -> Obj:
    made = {"name": part.name, "version": part.version, "refused": part.refused, "differs": differing.get(part.name)}
    return {key: value for key, value in made.items() if value}


def differences(kind: Type, wanted: Mapping[str, str], has: Iterable[Part]) -> Iterator[tuple[str, str]]:
    """Resource → what is wrong with what the proxy has. A proxy fetches only what it needs: that it does not have
    something is no fault. What it has besides is of its bootstrap (secrets) or of DNS clusters (endpoints)."""
    for part in has:
        version = wanted.get(part.name)
        if part.refused:
            yield part.name, f"the proxy refuses the newest: {part.refused}"
        elif version is None and kind not in (Type.ENDPOINTS, Type.SECRETS):
            yield part.name, "the proxy has it still, the control plane no more"
        elif version is not None and part.version != version:
            yield part.name, f"the proxy has {part.version or 'nothing yet'}, the control plane {version}"
