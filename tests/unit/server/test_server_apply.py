"""Owners of fields through the registry: what is stored, what comes back, what clients may do to it."""

from __future__ import annotations

import asyncio
import random
from ipaddress import IPv4Network
from typing import Any

import orjson
import pytest

from sampan.api.kinds import SCHEME
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.server import listing, negotiate
from sampan.server.allocators import Services
from sampan.server.registry import Registry
from sampan.server.types import Deletion, Held, Options
from sampan.server.watch import Asked
from sampan.store.memory import MemoryStore

CM = "configmaps"


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": data}


def play(work: Any) -> Any:
    async def main() -> Any:
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        await registry.create("namespaces", {"metadata": {"name": "default"}})
        return await work(registry)

    return asyncio.run(main())


def managers(held: Held) -> dict[str, str]:
    shown = orjson.loads(held.bytes)["metadata"].get("managedFields", [])
    assert shown == held.owners
    assert "managedFields" not in held.obj["metadata"]
    return {entry["manager"]: entry["operation"] for entry in shown}


def options(manager: str, **more: Any) -> Options:
    return Options(manager=manager, **more)


def test_an_apply_creates_then_changes_then_is_silent() -> None:
    async def work(registry: Registry) -> None:
        made, new = await registry.apply(CM, "a", "default", config_map(k="1"), options("me"))
        assert new
        assert managers(made) == {"me": "Apply"}
        changed, new = await registry.apply(CM, "a", "default", config_map(k="2"), options("me"))
        assert (new, changed.obj["data"]) == (False, {"k": "2"})
        same, _ = await registry.apply(CM, "a", "default", config_map(k="2"), options("me"))
        assert same.bytes == changed.bytes

    play(work)


def test_owners_survive_a_restart_of_what_is_decoded() -> None:
    async def work(registry: Registry) -> None:
        await registry.create(CM, config_map(k="1"), options=options("a"))
        record = registry.store.get("/registry/core/configmaps/default/a")
        assert record is not None
        record.held = None  # as after a start: only the bytes are there
        held = await registry.patch(CM, "a", "default", {"data": {"l": "2"}}, options=options("b"))
        assert managers(held) == {"a": "Update", "b": "Update"}

    play(work)


def test_clients_that_know_nothing_of_owners_do_not_erase_them_and_those_that_do_can() -> None:
    async def work(registry: Registry) -> None:
        made = await registry.create(CM, config_map(k="1"), options=options("a"))
        held = await registry.update(CM, {**made.obj, "data": {"k": "1", "l": "2"}}, options=options("b"))
        assert managers(held) == {"a": "Update", "b": "Update"}
        whole = orjson.loads(held.bytes)
        assert (await registry.update(CM, whole, options=options("c"))).bytes == held.bytes
        reset = await registry.patch(CM, "a", "default", {"metadata": {"managedFields": [{}]}}, options=options("c"))
        assert managers(reset) == {}
        assert reset.obj["metadata"]["resourceVersion"] != held.obj["metadata"]["resourceVersion"]

    play(work)


def test_a_dry_run_changes_nothing() -> None:
    async def work(registry: Registry) -> None:
        before = registry.store.revision
        held, new = await registry.apply(CM, "a", "default", config_map(k="1"), options("me", dry_run=True))
        assert (new, held.obj["data"], registry.store.revision) == (True, {"k": "1"}, before)

    play(work)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"managedFields": [{"manager": "x"}]}, 400, "metadata.managedFields must be nil"),
        ({"name": "b"}, 400, "the name of the object (b) does not match the name on the URL (a)"),
        ({"resourceVersion": "1"}, 409, "the object has been modified"),
    ],
)
def test_what_an_apply_may_not_say(change: dict[str, Any], code: int, text: str) -> None:
    async def work(registry: Registry) -> ApiError:
        await registry.create(CM, config_map(k="1"))
        config = config_map(k="1")
        config["metadata"] |= change
        with pytest.raises(ApiError) as error:
            await registry.apply(CM, "a", "default", config, options("me"))
        return error.value

    error = play(work)
    assert error.code == code
    assert text in error.message


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: negotiate.apply_options({}), "fieldManager: Required value: is required for apply patch"),
        (lambda: negotiate.options({"dryRun": ["x"]}), 'dryRun: Unsupported value: "x": supported values: "All"'),
        (lambda: negotiate.options({"fieldManager": ["x" * 129]}), "fieldManager: Too long"),
    ],
)
def test_options_are_refused_by_name(make: Any, text: str) -> None:
    with pytest.raises(ApiError) as error:
        make()
    assert error.value.code == 422
    assert 'Options.meta.k8s.io "" is invalid: ' in error.value.message
    assert text in error.value.message


def test_a_list_that_expired_brings_a_token_to_go_on_with() -> None:
    async def work(registry: Registry) -> None:
        for name in "abc":
            await registry.create(CM, {"metadata": {"name": name, "namespace": "default"}})
        first = await registry.list(CM, "default", limit=1)
        await registry.delete(CM, "b", "default")
        await registry.store.compact(registry.store.revision)
        with pytest.raises(ApiError) as error:
            await registry.list(CM, "default", limit=1, token=first.next)
        assert (error.value.code, error.value.message) == (410, listing.TOO_OLD)
        rest = await registry.list(CM, "default", token=error.value.body()["metadata"]["continue"])
        assert [h.obj["metadata"]["name"] for h in rest.items] == ["c"]

    play(work)


def test_a_watch_that_wants_bookmarks_ends_with_one() -> None:
    async def work(registry: Registry) -> list[tuple[str, str]]:
        asked = Asked(after=str(registry.store.revision), bookmarks=True, timeout=0.05)
        stream = registry.watch(CM, "default", asked)
        await registry.create("namespaces", {"metadata": {"name": "other"}})
        return [(kind, held.obj["metadata"]["resourceVersion"]) async for batch in stream for kind, held in batch]

    assert play(work) == [("BOOKMARK", "2")]


def test_deletecollection_takes_one_page() -> None:
    async def work(registry: Registry) -> None:
        for name in "abc":
            await registry.create(CM, {"metadata": {"name": name, "namespace": "default"}})
        gone = await registry.delete_collection(CM, "default", Deletion(), limit=2)
        assert len(gone.items) == 2
        left = await registry.list(CM, "default")
        assert [h.obj["metadata"]["name"] for h in left.items] == ["c"]

    play(work)


def test_an_object_that_etcd_would_not_take_is_refused_in_its_words() -> None:
    async def work(registry: Registry) -> ApiError:
        annotations = {"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "x" * 1000}}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        template["spec"]["containers"][0]["args"] = ["x" * 1_600_000]
        body = {**annotations, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
        del body["data"]
        with pytest.raises(ApiError) as error:
            await registry.create("deployments.apps", body)
        return error.value

    error = play(work)
    assert (error.code, error.message) == (500, "etcdserver: request is too large")
