"""What proxies are told when a part of it cannot be built: what they have, until there is something else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sampan import ir
from sampan.app.edge_served import Served
from sampan.base.clock import SystemClock
from sampan.base.latest import Latest
from sampan.gateway.endpoints import EndpointIndex
from sampan.gateway.types import Resources, Result
from sampan.xds.types import ROUTES


def proxy(name: str, hashed: str = "path") -> ir.Proxy:
    action = ir.Forward((ir.Target("none"),), hash_on=(hashed,))
    host = ir.VirtualHost("all", ("*",), (ir.Route("all", ir.Match(), action),))
    return ir.Proxy(tables={name: ir.RouteTable(name, (host,))})


def test_what_cannot_be_built_does_not_end_the_serving(tmp_path: Path) -> None:
    async def main() -> None:
        control: Any = SimpleNamespace(
            result=Latest((Resources({}), Result())), proxy=Latest(ir.Proxy()), endpoints=EndpointIndex()
        )
        cluster: Any = SimpleNamespace(snapshots=tmp_path)
        served = Served(cluster, SystemClock(), control)
        served._keeper.start()
        try:
            for name, hashed in (("one", "path"), ("two", "nobody knows this"), ("three", "path")):
                await served._build(proxy(name, hashed))
                assert served._snapshot is not None
                there = "one" if name == "two" else name
                assert list(served._snapshot.of(ROUTES)) == [there]
        finally:
            await served._keeper.stop()

    asyncio.run(main())
