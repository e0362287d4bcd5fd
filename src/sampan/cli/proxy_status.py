"""`sampan proxy-status`: which proxies are connected, and whether they have what they shall have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from sampan.api.meta import Obj
from sampan.app.config import Cluster, load_or_fail, state_root
from sampan.cli.options import DEFAULT_CLUSTER, ClusterName, StateDir
from sampan.cli.proxies import Output, check_output, dump, page, table
from sampan.cli.remote import Remote

COLUMNS = ("CDS", "LDS", "EDS", "RDS", "SDS")


def proxy_status(output: Output = "", cluster: ClusterName = DEFAULT_CLUSTER, state: StateDir = None) -> int:
    """Show each proxy with the state of what it was sent: SYNCED (it has the newest), STALE (sent, not answered yet),
    NOT SENT (nothing to send) or NACK (it refused and keeps what it had). Exit status 1 when one refused something.
    """
    check_output(output)
    found = asyncio.run(_ask(load_or_fail(cluster, state_root(state))))
    if output:
        dump(found, output)
    else:
        for line in shown(found["proxies"]):
            print(line)
    return 1 if any(_refusals(proxy) for proxy in found["proxies"]) else 0


async def _ask(cluster: Cluster) -> Any:
    async with Remote(cluster) as remote:
        return await page(remote, "status")


def shown(proxies: list[Obj]) -> Iterator[str]:
    if not proxies:
        yield "No proxies are connected."
        return
    rows = [
        [proxy["name"], *(proxy["types"][name]["state"] for name in COLUMNS), proxy["kind"], proxy["since"]]
        for proxy in proxies
    ]
    yield from table(["NAME", *COLUMNS, "KIND", "SINCE"], rows)
    for proxy in proxies:
        for name, message in _refusals(proxy):
            yield ""
            yield f"{proxy['name']} refuses {name}:"
            yield from (f"  {line}" for line in message.splitlines())


def _refusals(proxy: Obj) -> list[tuple[str, str]]:
    types = proxy["types"].items()
    return [(name, one.get("message", "")) for name, one in types if one["state"] == "NACK"]
