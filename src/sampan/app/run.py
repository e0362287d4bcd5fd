"""Starts and stops one of sampan's own processes. These verbs are not for people: `supervise`, `server`, `agent`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from sampan.app.config import load_or_fail
from sampan.base import log
from sampan.base.errors import SampanError

DESCRIPTORS = 65536


class Process(Protocol):
    async def start(self) -> None: ...
    async def close(self) -> None: ...


def main(arguments: Sequence[str]) -> int:
    """Run the process until SIGTERM. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="sampan")
    parser.add_argument("verb", choices=("supervise", "server", "agent"))
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--node", default="")
    parser.add_argument("--report-fd", type=int, default=1)
    given = parser.parse_args(arguments)
    if given.verb == "supervise":
        from sampan.app import supervisor

        return supervisor.main(given.cluster, given.state, given.report_fd)
    return _serve(given)


def _serve(given: argparse.Namespace) -> int:
    from sampan.app.processes import inherited_sockets, notify_ready

    log.setup(f"{given.verb} {given.node}".strip())
    cluster = load_or_fail(given.cluster, given.state)
    sockets = [socket.socket(fileno=fd) for fd in inherited_sockets()]
    for sock in sockets:
        sock.setblocking(False)
    if given.verb == "agent":
        from sampan.base.netns import CLONE_NEWNET, setns

        # Before the event loop: everything this process opens from here on is in the node's network namespace.
        with cluster.plan.node_netns(given.node).open() as node:
            host = Path("/proc/self/ns/net").open()  # noqa: SIM115 - kept for the life of the process
            setns(node.fileno(), CLONE_NEWNET)
        from sampan.app.agent import AgentProcess

        process: Process = AgentProcess(cluster, given.node, sockets, host.fileno())
    else:
        from sampan.app.server import ServerProcess

        _take_all_descriptors()  # a connection each, and watchers are many
        process = ServerProcess(cluster, sockets)

    import uvloop

    try:
        uvloop.run(_until_told(process, notify_ready))
    except SampanError as error:
        log.get("run").error("%s", error)
        return 1
    return 0


def relax_collector() -> None:
    """The cyclic collector walks all cached objects, which have no cycles: it need not come often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _take_all_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, DESCRIPTORS)), hard))


async def _until_told(process: Process, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await process.start()
    relax_collector()
    ready()
    try:
        await stop.wait()
    finally:
        await process.close()
