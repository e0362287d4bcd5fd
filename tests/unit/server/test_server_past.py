"""Who changed what when: authors kept with writes, histories, lists of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from apiserver import ApiServer, running

CM = "/api/v1/namespaces/default/configmaps"
PAST = "/apis/sampan.io/v1"
HISTORY = f"{PAST}/history?resource=configmaps&namespace=default&name=a"


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def play(folder: Path, test: Callable[[ApiServer], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(folder) as api:
            await asyncio.wait_for(test(api), 20)

    asyncio.run(main())


def test_every_write_has_its_author(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        code, headers, _ = await api.full("POST", CM, config(k="1"), user_agent="kubectl/v1.32", audit_id="my-id")
        assert (code, headers["audit-id"]) == (201, "my-id")
        await api.call("PUT", f"{CM}/a", config(k="2"), user_agent="x" * 5000)
        merge = {"content_type": "application/merge-patch+json"}
        await api.call("PATCH", f"{CM}/a", {"data": {"k": "3"}}, impersonate_user="eve",
                       impersonate_group="system:masters", **merge)  # fmt: skip
        _, headers, _ = await api.full("DELETE", f"{CM}/a")
        assert headers["audit-id"]
        code, found = await api.call("GET", HISTORY)
        assert code == 200
        assert [i["type"] for i in found["items"]] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
        authors = [i["author"] for i in found["items"]]
        assert authors[0] == {"user": "root", "verb": "create", "agent": "kubectl/v1.32", "ip": "127.0.0.1",
                              "id": "my-id"}  # fmt: skip
        assert authors[1]["verb"] == "update"
        assert len(authors[1]["agent"]) < 200
        assert (authors[2]["user"], authors[2]["by"], authors[2]["verb"]) == ("eve", "root", "patch")
        assert (authors[3]["user"], authors[3]["id"]) == ("root", headers["audit-id"])
        assert [i["object"]["data"]["k"] for i in found["items"][:3]] == ["1", "2", "3"]
        assert found["items"][3]["previous"]["data"] == {"k": "3"}
        assert found["items"][1]["object"]["metadata"]["resourceVersion"] == str(found["items"][1]["revision"])
        _, last = await api.call("GET", f"{HISTORY}&limit=1")
        assert (last["items"], last["total"]) == (found["items"][3:], 4)

    play(tmp_path, test)


def test_a_dry_run_leaves_no_history(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        await api.call("POST", f"{CM}?dryRun=All", config())
        assert (await api.call("GET", HISTORY))[0] == 404

    play(tmp_path, test)


def test_what_the_server_writes_itself_is_its_own(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        _, found = await api.call("GET", f"{PAST}/history?resource=namespaces&name=default")
        assert found["items"][0]["author"] == {"user": "system:apiserver"}

    play(tmp_path, test)


def test_history_may_be_read_by_who_may_get_the_object(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        await api.call("POST", CM, config())
        code, refused = await api.call("GET", HISTORY, token="bob")
        assert (code, refused["reason"]) == (403, "Forbidden")
        for query, expected in (
            ("history?resource=configmaps&name=a", 400),
            ("history?resource=configmaps&namespace=default", 400),
            ("history?resource=foos&name=a", 404),
            ("history?resource=configmaps&namespace=default&name=b", 404),
            ("histories", 404),
            ("revision?time=yesterday", 400),
            ("revision?time=2026-01-01T00:00:00", 400),
        ):
            code, answer = await api.call("GET", f"{PAST}/{query}")
            assert (code, answer["kind"]) == (expected, "Status")
        assert (await api.call("POST", HISTORY))[0] == 405
        assert (await api.call("GET", f"{PAST}/revision?time=2026-01-01T00:00:00Z", token=""))[0] in (401, 403)

    play(tmp_path, test)


def test_lists_of_the_past(tmp_path: Path) -> None:
    async def test(api: ApiServer) -> None:
        _, made = await api.call("POST", CM, config(k="old"))
        then = made["metadata"]["resourceVersion"]
        await api.call("DELETE", f"{CM}/a")
        code, found = await api.call("GET", f"{CM}?resourceVersion={then}&resourceVersionMatch=Exact")
        assert code == 200
        assert [i["data"] for i in found["items"] if i["metadata"]["name"] == "a"] == [{"k": "old"}]
        assert found["metadata"]["resourceVersion"] == then
        _, none = await api.call("GET", f"{PAST}/revision?time=2001-01-01T00:00:00Z")
        _, now = await api.call("GET", f"{PAST}/revision?time=2101-01-01T00:00:00%2B01:00")
        assert (none["revision"], now["revision"]) == (0, int(then) + 1)

    play(tmp_path, test)
