"""The fake client keeps the rules that controller tests lean on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_client import FakeClient

from sampan.api.status import ApiError
from sampan.client.types import JSON, Preconditions


def run(test: Callable[[FakeClient], Awaitable[None]]) -> None:
    asyncio.run(test(FakeClient()))  # type: ignore[arg-type]


def pod(name: str = "a", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", **metadata},
        "spec": {"containers": []},
    }


def test_update_status_and_conflicts() -> None:
    async def test(client: FakeClient) -> None:
        made = await client.create("pods", pod())
        changed = await client.update_status("pods", made | {"status": {"phase": "Running"}, "spec": {}})
        assert changed["spec"] == made["spec"]
        with pytest.raises(ApiError) as caught:
            await client.update("pods", made)
        assert caught.value.code == 409
        updated = await client.update("pods", changed | {"status": {}, "spec": {"nodeName": "n"}})
        assert updated["status"] == {"phase": "Running"}
        assert updated["metadata"]["generation"] == 2
        patched = await client.patch("pods", "a", "ns", [{"op": "remove", "path": "/spec/nodeName"}], kind=JSON)
        assert patched["spec"] == {}
        writes = client.writes
        await client.patch("pods", "a", "ns", {"status": {"phase": "Running"}}, subresource="status")
        assert client.writes == writes

    run(test)


def test_deletion_waits_for_finalizers_and_for_the_node() -> None:
    async def test(client: FakeClient) -> None:
        await client.create("pods", pod(finalizers=["x/y"]))
        with pytest.raises(ApiError):
            await client.delete("pods", "a", "ns", preconditions=Preconditions(uid="other"))
        assert "deletionTimestamp" in (await client.delete("pods", "a", "ns"))["metadata"]
        await client.patch("pods", "a", "ns", {"metadata": {"finalizers": None}})
        assert client.all("pods") == []
        await client.create("pods", pod() | {"spec": {"nodeName": "n"}})
        assert (await client.delete("pods", "a", "ns"))["metadata"]["deletionGracePeriodSeconds"] == 30
        assert client.find("pods", "a", "ns") is not None
        await client.delete("pods", "a", "ns", grace=0)
        assert client.find("pods", "a", "ns") is None

    run(test)


def test_watch_sees_selection_changes() -> None:
    async def test(client: FakeClient) -> None:
        await client.create("pods", pod(labels={"app": "x"}))
        await client.patch("pods", "a", "ns", {"metadata": {"labels": {"app": "y"}}})
        await client.create("pods", pod("b", labels={"app": "y"}))
        await client.delete("pods", "b", "ns")
        seen = []
        async for event in client.watch("pods", after="0", labels="app=y"):
            seen.append((event.type, event.object["metadata"]["name"]))
            if len(seen) == 3:
                break
        assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b")]
        assert len((await client.list("pods", fields="metadata.name=a")).items) == 1
        assert (await client.list("pods", fields="metadata.name!=a")).items == []

    run(test)
