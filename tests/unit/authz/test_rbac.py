"""Rules: what they allow, what they cover, how they aggregate; the authorizer over a store."""

import asyncio
import random
from ipaddress import IPv4Network

import pytest

from sampan.api import rbac
from sampan.api.kinds import SCHEME
from sampan.api.rbac import Ask, Rule
from sampan.api.status import ApiError
from sampan.base.clock import FakeClock
from sampan.server import bootstrap, escalation
from sampan.server.allocators import Services
from sampan.server.authz import Authorizer
from sampan.server.impersonation import impersonated
from sampan.server.registry import Registry
from sampan.server.types import Options, User
from sampan.store.memory import MemoryStore

BOB = User("bob", ("devs", "system:authenticated"))
ROLES, BINDINGS = "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"


def rule(verbs, groups, resources, names=()):
    return {"verbs": verbs, "apiGroups": groups, "resources": resources} | ({"resourceNames": names} if names else {})


@pytest.mark.parametrize(
    ("given", "ask", "expected"),
    [
        (rule(["get"], [""], ["pods"]), Ask("get", resource="pods"), True),
        (rule(["get"], [""], ["pods"]), Ask("get", resource="pods/log"), False),
        (rule(["get"], [""], ["pods/*"]), Ask("get", resource="pods/log"), False),
        (rule(["get"], [""], ["*/log"]), Ask("get", resource="pods/log"), True),
        (rule(["*"], ["*"], ["*"]), Ask("delete", "apps", "deployments"), True),
        (rule(["get"], ["apps"], ["pods"]), Ask("get", resource="pods"), False),
        (rule(["get"], [""], ["pods"], ["a"]), Ask("get", resource="pods", name="a"), True),
        (rule(["get"], [""], ["pods"], ["a"]), Ask("get", resource="pods", name="b"), False),
        (rule(["get"], [""], ["pods"], ["a"]), Ask("get", resource="pods"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Ask("get", path="/api/v1"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api"]}, Ask("get", path="/api/v1"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, Ask("get", resource="pods"), False),
    ],
)
def test_what_a_rule_allows(given, ask, expected):
    assert Rule(given).allows(ask) is expected


def test_what_rules_cover_and_how_the_rest_is_shown():
    held = [rule(["get", "list"], [""], ["pods"]), {"verbs": ["*"], "nonResourceURLs": ["/api*"]}]
    wanted = [
        rule(["get", "list", "watch"], [""], ["pods", "nodes"]),
        {"verbs": ["get"], "nonResourceURLs": ["/apis", "/x"]},
    ]
    shown = [rbac.shown(one) for one in rbac.compact(rbac.missing(held, wanted))]
    assert shown == [
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list" "watch"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}',
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
    ]
    assert not rbac.missing([rule(["*"], ["*"], ["*"])], [rule(["get"], ["a"], ["b/c"], ["d"])])
    assert rbac.missing([rule(["get"], [""], ["pods"], ["a"])], [rule(["get"], [""], ["pods"])])


def test_aggregation_takes_each_rule_once():
    def role(name, label, *rules):
        return {"metadata": {"name": name, "labels": {label: "true"}}, "rules": list(rules)}

    pods, nodes = rule(["get"], [""], ["pods"]), rule(["get"], [""], ["nodes"])
    roles = [role("b", "x", pods, nodes), role("a", "x", pods), role("c", "y", rule(["get"], [""], ["secrets"]))]
    assert rbac.aggregate([{"matchLabels": {"x": "true"}}], roles) == [pods, nodes]


def world(work):
    async def main():
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        authorizer = Authorizer(registry)
        registry.guards = escalation.guards(authorizer)
        await bootstrap.run(registry, services, "172.30.0.1", 6443)
        await bootstrap.roles(registry)
        return await work(registry, authorizer)

    return asyncio.run(main())


def binding(role, *subjects, name="b"):
    return {
        "metadata": {"name": name, "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role[0], "name": role[1]},
        "subjects": list(subjects),
    }


DEVS = {"kind": "Group", "name": "devs"}
LIST_PODS = Ask("list", resource="pods", namespace="default")


def test_bindings_count_at_once_and_no_longer_than_they_last():
    async def work(registry, authorizer):
        assert authorizer.decide(BOB, LIST_PODS) == (False, "")
        await registry.create(BINDINGS, binding(("ClusterRole", "view"), DEVS))
        allowed, why = authorizer.decide(BOB, LIST_PODS)
        assert allowed
        assert why == 'RBAC: allowed by RoleBinding "b/default" of ClusterRole "view" to Group "devs"'
        assert not authorizer.allows(BOB, Ask("list", resource="pods", namespace="kube-system"))
        assert not authorizer.allows(BOB, Ask("list", resource="secrets", namespace="default"))
        await registry.delete(BINDINGS, "b", "default")
        assert not authorizer.allows(BOB, LIST_PODS)

    world(work)


def test_service_accounts_and_missing_roles():
    async def work(registry, authorizer):
        account = {"kind": "ServiceAccount", "name": "app"}
        await registry.create(BINDINGS, binding(("Role", "nope"), account))
        app = User("system:serviceaccount:default:app", ("system:serviceaccounts",))
        text = 'RBAC: role.rbac.authorization.k8s.io "nope" not found'
        assert authorizer.decide(app, LIST_PODS) == (False, text)
        await registry.create(
            ROLES, {"metadata": {"name": "nope", "namespace": "default"}, "rules": [rule(["list"], [""], ["pods"])]}
        )
        assert authorizer.allows(app, LIST_PODS)

    world(work)


def test_masters_nodes_and_nobody():
    async def work(registry, authorizer):
        assert authorizer.allows(User("x", ("system:masters",)), Ask("any", "thing", "at all"))
        node = User("system:node:n", ("system:nodes",))
        assert authorizer.allows(node, Ask("update", resource="pods/status", namespace="a"))
        assert not authorizer.allows(node, Ask("create", "apps", "deployments", "a"))
        nobody = User("system:anonymous", ("system:unauthenticated",))
        assert authorizer.allows(nobody, Ask("get", path="/healthz"))
        with pytest.raises(ApiError, match='forbidden: User "system:anonymous" cannot get path "/metrics"'):
            authorizer.check(nobody, Ask("get", path="/metrics"))

    world(work)


def test_nobody_grants_what_he_lacks():
    async def work(registry, authorizer):
        await registry.create(BINDINGS, binding(("ClusterRole", "admin"), DEVS))
        options = Options(user=BOB)
        more = {"metadata": {"name": "r", "namespace": "default"}, "rules": [rule(["get"], [""], ["nodes"])]}
        with pytest.raises(ApiError, match="attempting to grant RBAC permissions not currently held"):
            await registry.create(ROLES, more, options=options)
        with pytest.raises(ApiError, match=r'user "bob" \(groups=\["devs" "system:authenticated"\]\)'):
            await registry.create(BINDINGS, binding(("ClusterRole", "cluster-admin"), DEVS, name="c"), options=options)
        with pytest.raises(ApiError) as missing:
            await registry.create(BINDINGS, binding(("Role", "no"), DEVS, name="c"), options=options)
        assert missing.value.code == 404
        await registry.create(BINDINGS, binding(("ClusterRole", "view"), DEVS, name="c"), options=options)

    world(work)


def test_impersonation():
    async def work(registry, authorizer):
        root = User("root", ("system:masters",))
        headers = {"impersonate-user": "jane", "impersonate-group": "devs, ops", "impersonate-extra-a%2fb": "1"}
        jane = impersonated(headers, root, authorizer)
        assert jane == User("jane", ("devs", "ops", "system:authenticated"), "", (("a/b", ("1",)),))
        account = impersonated({"impersonate-user": "system:serviceaccount:ns:app"}, root, authorizer)
        assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
        with pytest.raises(ApiError, match='users "jane" is forbidden: User "bob" cannot impersonate resource "users"'):
            impersonated({"impersonate-user": "jane"}, BOB, authorizer)
        assert impersonated({}, BOB, authorizer) is BOB

    world(work)


def test_the_default_roles_come_back_with_what_they_lack():
    async def work(registry, authorizer):
        name = "clusterroles.rbac.authorization.k8s.io"
        before = registry.lookup(name, "system:basic-user")["rules"]
        await registry.patch(name, "system:basic-user", "", {"rules": before[:1]})
        await bootstrap.roles(registry)
        after = registry.lookup(name, "system:basic-user")["rules"]
        assert not rbac.missing(after, before)
        admin, edit = (registry.lookup(name, n)["rules"] for n in ("admin", "edit"))
        assert not rbac.missing(admin, edit)
        assert rbac.missing(edit, admin)

    world(work)


def test_an_apply_that_creates_needs_leave_to_create():
    async def work(registry, authorizer):
        registry.check = authorizer.check_resource
        patcher = {"metadata": {"name": "p", "namespace": "default"}, "rules": [rule(["patch"], [""], ["configmaps"])]}
        await registry.create(ROLES, patcher)
        await registry.create(BINDINGS, binding(("Role", "p"), DEVS))
        given = {"metadata": {"name": "m"}, "data": {"a": "1"}}
        with pytest.raises(ApiError, match='User "bob" cannot create resource "configmaps"'):
            await registry.apply("configmaps", "m", "default", given, Options(user=BOB, manager="x"))
        await registry.create("configmaps", {"metadata": {"name": "m", "namespace": "default"}})
        held, created = await registry.apply("configmaps", "m", "default", given, Options(user=BOB, manager="x"))
        assert not created
        assert held.obj["data"] == {"a": "1"}

    world(work)
