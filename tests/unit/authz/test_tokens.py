"""Tokens of service accounts: issue, judge, end."""

import asyncio
import base64
import json

import pytest

from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.ca.jwt import Signer
from sampan.node.env import TokenRef
from sampan.node.tokens import TokenManager
from sampan.server.authn import Authenticator
from sampan.server.tokens import ISSUER, Tokens
from sampan.server.types import User

ROOT, NODE = User("root", ("system:masters",)), User("system:node:n1", ("system:nodes",))
ACCOUNT = {"metadata": {"name": "app", "namespace": "shop", "uid": "a1"}}
POD = {
    "metadata": {"name": "p", "namespace": "shop", "uid": "p1"},
    "spec": {"serviceAccountName": "app", "nodeName": "n1"},
}
TO_POD = {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "p1"}}


class World:
    def __init__(self, folder):
        self.objects = {("serviceaccounts", "app"): ACCOUNT, ("pods", "p"): POD}
        self.clock = FakeClock()
        self.tokens = Tokens(folder / "sa.key", lambda r, name, ns: self.objects.get((r, name)), self.clock)

    def request(self, spec=None, user=ROOT):
        return self.tokens.request("shop", "app", {"spec": spec or {}}, user)["status"]["token"]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_token_says_whose_it_is(world):
    token = world.request(TO_POD)
    user, audiences = Authenticator({}, world.tokens.judge).by_token(token)
    assert user.name == "system:serviceaccount:shop:app"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    extra = dict(user.extra)
    assert extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert extra["authentication.kubernetes.io/node-name"] == ("n1",)
    assert audiences == ()
    assert world.tokens.judge(token, ("other", ISSUER))[1] == (ISSUER,)


@pytest.mark.parametrize("gone", [("serviceaccounts", "app"), ("pods", "p")])
def test_it_ends_with_what_it_is_bound_to(world, gone):
    token = world.request(TO_POD)
    world.tokens.judge(token, ())
    world.objects[gone] = {"metadata": {"name": "x", "uid": "another"}}
    with pytest.raises(ApiError, match="Unauthorized"):
        world.tokens.judge(token, ())


def test_it_ends_in_time_and_is_for_its_audience(world):
    token = world.request({"expirationSeconds": 600})
    world.tokens.judge(token, ())
    asyncio.run(world.clock.advance(700))
    with pytest.raises(ApiError):
        world.tokens.judge(token, ())
    with pytest.raises(ApiError):
        world.tokens.judge(world.request({"audiences": ["vault"]}), ())
    automatic = world.request({**TO_POD, "expirationSeconds": 3607})
    asyncio.run(world.clock.advance(86400))
    world.tokens.judge(automatic, ())  # pods that never read it again


def test_forged_tokens(world, tmp_path):
    head, body, signature = world.request().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    other = Signer.open(tmp_path / "other.key").sign(claims)
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "root"}).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for token in (
        other,
        f"{head}.{changed}.{signature}",
        f"{none}.{body}.",
        f"{head}.{body}.AA",
        "a.b.c",
        "..",
        "é.b.c",
    ):
        with pytest.raises(ApiError):
            world.tokens.judge(token, ())


def test_what_may_not_be_asked_for(world):
    for spec, text in (
        ({"expirationSeconds": 10}, "may not specify a duration less than 10 minutes"),
        ({"boundObjectRef": {"kind": "Job", "name": "x"}}, "cannot bind token to object of type"),
        ({"boundObjectRef": {"kind": "Pod", "name": "x"}}, 'pods "x" not found'),
        ({"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "old"}}, "does not match the UID in record"),
    ):
        with pytest.raises(ApiError, match=text):
            world.request(spec)
    with pytest.raises(ApiError, match="not bound to a pod"):
        world.request(user=NODE)
    with pytest.raises(ApiError, match="scheduled on a different node"):
        world.request(TO_POD, User("system:node:n2"))
    world.request(TO_POD, NODE)


def test_legacy_tokens_live_as_long_as_their_secret(world):
    secret = {"metadata": {"name": "s", "namespace": "shop", "uid": "s1"}}
    token = world.tokens.legacy(ACCOUNT, secret)
    with pytest.raises(ApiError):
        world.tokens.judge(token, ())
    world.objects["secrets", "s"] = secret
    assert world.tokens.judge(token, ())[0].name == "system:serviceaccount:shop:app"


def test_the_key_set_is_the_key_that_is_kept(world, tmp_path):
    token = world.request()
    again = World(tmp_path)
    assert again.tokens.signer.key_set() == world.tokens.signer.key_set()
    again.tokens.judge(token, ())


def test_the_node_renews_at_four_fifths_of_its_life(world):
    class Client:
        asked = 0

        async def create(self, resource, obj, *, subresource=""):
            Client.asked += 1
            return world.tokens.request("shop", "app", obj, NODE)

    async def main():
        manager, renewed = TokenManager(Client(), world.clock), []
        ref = TokenRef("", 1000)
        first = await manager.get(POD, [ref], lambda: renewed.append(1))
        assert await manager.get(POD, [ref], lambda: None) == first
        task = asyncio.create_task(manager.run())
        await world.clock.advance(780)
        assert not renewed
        await world.clock.advance(80)
        assert renewed
        second = await manager.get(POD, [ref], lambda: None)
        assert second != first
        assert Client.asked == 2
        manager.forget("p1")
        task.cancel()

    asyncio.run(main())
