"""`python -m sampan.xds.drain`: a gateway pod's preStop hook. Envoy itself ends at once on SIGTERM.

First it fails its readiness, which also makes it say goodbye on each connection with its next answer (`Connection:
close`, GOAWAY); it goes on taking new ones, for nobody knows yet. After `--hold`, when everybody does, it waits until
no connection is left, at most until `--seconds` are over. Then the hook returns and SIGTERM may come.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Callable, Sequence

from sampan.xds.bootstrap import ADMIN, DRAIN_PATH, HEALTH_PORT

# What the listeners of users have open, and ours beside them.
_OPEN = "/stats?format=json&type=Gauges&filter=^listener%5C..*%5C.downstream_cx_active$"
_OURS = ("listener.admin.", f"listener.0.0.0.0_{HEALTH_PORT}.")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sampan.xds.drain", description="let this pod's Envoy finish its work")
    parser.add_argument("--hold", type=float, default=5.0, help="seconds in which nothing is refused yet")
    parser.add_argument("--seconds", type=float, default=25.0, help="to wait at most, in all")
    given = parser.parse_args(argv)
    return drain(_ask, given.hold, given.seconds, time.monotonic, time.sleep)


def drain(
    ask: Callable[[str, str], bytes],
    hold: float,
    seconds: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> int:
    """0: nothing is open any more, 1: time is over. `ask(method, path)` is of the admin interface."""
    began = now()
    try:
        ask("POST", "/healthcheck/fail")
        ask("POST", DRAIN_PATH)
        while now() < began + seconds:
            if now() >= began + hold and not open_connections(ask("GET", _OPEN)):
                return 0
            sleep(0.2)
    except OSError:
        return 0  # Envoy has gone: nothing is open
    return 1


def open_connections(stats: bytes) -> int:
    found = json.loads(stats).get("stats", [])
    return sum(stat["value"] for stat in found if not stat.get("name", "").startswith(_OURS))


def _ask(method: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(*ADMIN, timeout=5)
    try:
        connection.request(method, path)
        return connection.getresponse().read()
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
