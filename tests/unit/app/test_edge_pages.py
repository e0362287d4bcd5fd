"""Pages about proxies are made beside the event loop: of thousands of routes they take seconds."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from fake_client import FakeClient

from sampan import ir
from sampan.api.status import ApiError
from sampan.app.edge import EdgePart
from sampan.base.clock import SystemClock
from sampan.xds import pages
from sampan.xds.build import Builder
from sampan.xds.hub import Hub

KIND = "sampan-system/gateway"


def edge() -> EdgePart:
    """With a route table to show."""
    part: Any = EdgePart(SimpleNamespace(), FakeClient(), SystemClock())  # type: ignore[arg-type]
    hub = Hub(SystemClock())
    hub.publish(KIND, Builder().build(ir.Proxy(tables={"web": ir.RouteTable("web", ())})))
    part._served = SimpleNamespace(xds=hub)
    return part


def test_the_event_loop_goes_on_while_a_page_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(view: pages.View, query: Any) -> Any:
        begun.set()
        assert go_on.wait(5), "the event loop waits for the page"
        return {"kinds": sorted(view.snapshots)}

    monkeypatch.setattr(pages, "PAGES", {"status": slow})

    async def main() -> bytes:
        page = asyncio.create_task(edge().page("status", {}))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        go_on.set()
        return await page

    assert json.loads(asyncio.run(main())) == {"kinds": [KIND]}


def test_what_is_asked_wrong_is_said() -> None:
    with pytest.raises(ApiError, match="type is one of"):
        asyncio.run(edge().page("config", {"type": ["secret"]}))
    found = json.loads(asyncio.run(edge().page("config", {"type": ["routes"]})))
    assert [one["name"] for one in found["resources"]] == ["web"]


def test_nothing_is_shown_before_anything_is_served() -> None:
    assert asyncio.run(EdgePart(SimpleNamespace(), FakeClient(), SystemClock()).page("status", {})) == b"null"  # type: ignore[arg-type]
