"""What the kernel holds of our table already, in the network namespace of this process."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from sampan.base.errors import SampanError
from sampan.base.proc import run
from sampan.serviceproxy.nft import TABLE, Names

Read = Callable[[], Awaitable[Names | None]]


async def names() -> Names | None:
    """Its chains and sets, none when it is not there; None when nft does not say."""
    try:
        chains, sets = await run(["nft", "list", "chains", "ip"]), await run(["nft", "-t", "list", "sets", "ip"])
    except (SampanError, OSError):
        return None
    return Names(_named("chain", chains.decode()), _named("set", sets.decode()))


def _named(kind: str, listing: str) -> frozenset[str]:
    """A listing has a block for each table, and in it a tab before each thing that the table holds."""
    block = re.search(rf"^table ip {TABLE} {{\n(.*?)^}}", listing, re.MULTILINE | re.DOTALL)
    return frozenset(re.findall(rf"^\t{kind} (\S+) {{", block[1], re.MULTILINE)) if block else frozenset()
