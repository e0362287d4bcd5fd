"""The kinds sampan brings as custom resources: valid, there at once, renewed while they are ours, else let alone."""

import asyncio
import random
from ipaddress import IPv4Network

import pytest

from sampan.api import builtin, meta
from sampan.api.kinds import SCHEME
from sampan.api.kinds.customresourcedefinition import ID
from sampan.base.clock import FakeClock
from sampan.client.env import Env
from sampan.client.local import LocalClient
from sampan.controllers import customresourcedefinition as controller
from sampan.server import builtin as server_side
from sampan.server.allocators import Services
from sampan.server.builtin import MARK
from sampan.server.customresources import CustomResources
from sampan.server.registry import Registry
from sampan.server.types import Deletion, Options
from sampan.server.watch import Asked
from sampan.store.memory import MemoryStore

NAMES = [name for group in builtin.GROUPS for name in group.names]
CERTIFICATES = "certificates.cert-manager.io"


def registry(store=None):
    chance = random.Random(1)
    services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
    return Registry(SCHEME.live(), store or MemoryStore(), FakeClock(), services, chance)


def started(store=None):
    """A registry after a start of the server."""
    made = registry(store)
    asyncio.run(server_side.ensure(made, random.Random(2)))
    return made


@pytest.mark.parametrize("group", builtin.GROUPS, ids=lambda group: group.module)
def test_definitions_are_valid_and_named_in_the_table(group):
    made = group.definitions()
    assert sorted(made) == sorted(group.names)
    strategy = SCHEME.by_id[ID].strategy
    for crd in made.values():
        crd = meta.copy(crd)
        strategy.default(crd)
        strategy.prepare_create(crd)
        assert [str(fault) for fault in strategy.validate(crd)] == []


def test_they_are_served_at_once_and_the_controller_has_nothing_to_add():
    it = started()
    CustomResources(it).load()
    assert set(NAMES) <= set(it.scheme.by_id)
    revision = it.store.revision
    client = LocalClient(it, Asked, Deletion)

    class Cache:
        def get(self, key):
            return it.lookup(ID, key.name)

        def list(self, namespace=""):
            return it.scan(ID)

    for name in NAMES:
        env = Env(client, {ID: Cache()}, it.clock, None)
        assert asyncio.run(controller.reconcile(meta.Key("", name), env)) is None
    assert it.store.revision == revision


def test_a_second_start_neither_writes_nor_builds(monkeypatch):
    store = started().store
    monkeypatch.setattr(builtin.Group, "definitions", lambda group: pytest.fail("built"))
    assert started(store).store.revision == len(NAMES)


def newer(monkeypatch):
    monkeypatch.setattr(builtin.Group, "fingerprint", property(lambda group: "0123"))


def test_another_sampan_renews_its_own(monkeypatch):
    it = started()
    asyncio.run(it.patch(ID, CERTIFICATES, "", {"metadata": {"labels": {"mine": "yes"}}}))
    old = it.lookup(ID, CERTIFICATES)
    newer(monkeypatch)
    new = started(it.store).lookup(ID, CERTIFICATES)
    assert meta.labels(new) == {MARK: "0123", "mine": "yes"}
    assert meta.uid(new) == meta.uid(old)
    assert (new["metadata"]["generation"], new["status"]) == (2, old["status"])
    newest = started(it.store)
    assert newest.store.revision == it.store.revision


def test_what_a_user_changed_is_the_users(monkeypatch):
    it = started()
    theirs = builtin.GROUPS[0].definitions()[CERTIFICATES]
    theirs = meta.copy(theirs)
    theirs["spec"]["versions"][0]["additionalPrinterColumns"].pop()
    options = Options(manager="kubectl", validation="Strict")
    asyncio.run(it.apply(ID, CERTIFICATES, "", theirs, options))  # no conflict: we own nothing of it
    changed = it.lookup(ID, CERTIFICATES)
    assert changed["metadata"]["generation"] == 2
    newer(monkeypatch)
    assert started(it.store).lookup(ID, CERTIFICATES) == changed


def test_what_was_there_before_is_the_users_and_what_was_deleted_comes_back():
    it = registry()
    theirs = meta.copy(builtin.GROUPS[0].definitions()[CERTIFICATES])
    asyncio.run(it.create(ID, theirs))
    started(it.store)
    assert MARK not in meta.labels(it.lookup(ID, CERTIFICATES))
    asyncio.run(it.store.delete(it.binding(ID).key("", "issuers.cert-manager.io")))
    assert MARK in meta.labels(started(it.store).lookup(ID, "issuers.cert-manager.io"))
