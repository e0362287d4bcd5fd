"""Requests through the handler: URLs, negotiation, errors, who may."""

import asyncio
import gzip
import random
from ipaddress import IPv4Network
from pathlib import Path

import orjson
import pytest

from sampan.api.kinds import SCHEME
from sampan.base.clock import FakeClock
from sampan.base.http.types import Request
from sampan.server import bootstrap
from sampan.server.agents import Agents
from sampan.server.allocators import Services
from sampan.server.authn import Authenticator
from sampan.server.authz import Authorizer
from sampan.server.discovery import Discovery
from sampan.server.documents import Documents
from sampan.server.metrics import Metrics
from sampan.server.registry import Registry
from sampan.server.routes import Api, Parts
from sampan.server.types import User
from sampan.server.verbs import Verbs
from sampan.store.memory import MemoryStore

TOKENS = {"root": User("root", ("system:masters",)), "bob": User("bob")}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def talk(*requests):
    """Send requests one after the other to a new cluster; the last answer."""

    async def main():
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        await bootstrap.run(registry, services, "172.30.0.1", 6443)
        await bootstrap.run(registry, services, "172.30.0.1", 6443)
        await bootstrap.roles(registry)
        api = Api(
            Parts(
                verbs=Verbs(registry, Agents(lambda node: Path("/nowhere") / node)),
                authenticator=Authenticator(TOKENS),
                authorizer=Authorizer(registry),
                discovery=Discovery(SCHEME, "172.30.0.1:6443"),
                documents=Documents(SCHEME),
                checks={"ping": lambda: ""},
                metrics=Metrics(registry),
            )
        )
        answer = None
        for one in requests:
            answer = await api(one)
        return answer

    return asyncio.run(main())


def request(method, target, body=None, token="root", **headers):
    path, _, query = target.partition("?")
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, target, path, query, given, data)


def get(target, **more):
    return request("GET", target, **more)


def body(answer):
    return orjson.loads(answer.body)


CM = "/api/v1/namespaces/default/configmaps"
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}


def test_a_new_cluster_has_what_every_cluster_has():
    found = body(talk(get("/api/v1/services")))
    addresses = {s["metadata"]["name"]: s["spec"]["clusterIP"] for s in found["items"]}
    assert addresses == {"kubernetes": "10.96.0.1", "kube-dns": "10.96.0.10"}
    assert found["kind"] == "ServiceList"
    names = [n["metadata"]["name"] for n in body(talk(get("/api/v1/namespaces")))["items"]]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    slices = body(talk(get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices")))
    assert slices["items"][0]["endpoints"][0]["addresses"] == ["172.30.0.1"]


def test_create_get_delete():
    made = talk(request("POST", CM, MAP))
    assert made.status == 201
    assert talk(request("POST", CM, MAP), get(f"{CM}/a")).body == made.body
    gone = talk(request("POST", CM, MAP), request("DELETE", f"{CM}/a"))
    assert body(gone)["status"] == "Success"
    assert body(gone)["details"]["name"] == "a"


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (get(f"{CM}/nope"), 404, 'configmaps "nope" not found'),
        (get("/api/v1/foos"), 404, "the server could not find the requested resource"),
        (get("/api/v1/namespaces/default/nodes"), 404, "the server could not find the requested resource"),
        (get(f"{CM}/a/scale"), 404, "the server could not find the requested resource"),
        (
            request("POST", "/api/v1/configmaps", MAP),
            405,
            "the server does not allow this method on the requested resource",
        ),
        (request("POST", f"{CM}/a", MAP), 405, "the server does not allow this method on the requested resource"),
        (get(CM, token="bad"), 401, "Unauthorized"),
        (
            get(CM, token=""),
            403,
            'configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" '
            'in the namespace "default"',
        ),
        (
            get(CM, token="bob"),
            403,
            'configmaps is forbidden: User "bob" cannot list resource "configmaps" in API group "" '
            'in the namespace "default"',
        ),
        (
            get("/api/v1/nodes/n", token="bob"),
            403,
            'nodes "n" is forbidden: User "bob" cannot get resource "nodes" in API group "" at the cluster scope',
        ),
        (get("/metrics", token="bob"), 403, 'forbidden: User "bob" cannot get path "/metrics"'),
        (get(f"{CM}?labelSelector=a=="), 200, None),
        (get(f"{CM}?limit=x"), 400, 'limit: Invalid value: "x": strconv.ParseInt: parsing "x": invalid syntax'),
        (request("POST", CM, MAP, content_type="text/plain"), 415, None),
        (request("PATCH", f"{CM}/a", MAP, content_type="application/apply-patch+yaml"), 422, None),
        (get(CM, accept="application/vnd.kubernetes.protobuf"), 406, None),
        (request("POST", f"{CM}?dryRun=Some", MAP), 422, None),
        (
            request("POST", f"{CM}?fieldValidation=Strict", {**MAP, "extra": 1}),
            400,
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "extra"',
        ),
        (request("POST", CM, b"a: [", content_type="application/yaml"), 400, None),
        (request("POST", CM, b"\xff\xfe"), 400, None),
        (request("POST", CM, b"[" * 5000), 400, None),
        (request("POST", CM, b"[" * 5000, content_type="application/yaml"), 400, None),
        (request("POST", CM, b"k8s\0\xff", content_type="application/vnd.kubernetes.protobuf"), 400, None),
    ],
)
def test_refusals(asked, code, message):
    answer = talk(asked)
    assert answer.status == code
    assert body(answer)["kind"] == ("Status" if code != 200 else "ConfigMapList")
    if message is not None:
        assert body(answer)["message"] == message


def test_unknown_paths_are_a_page():
    answer = talk(get("/foo"))
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert talk(get("/apis/no.such/v1/things")).body == b"404 page not found\n"
    assert talk(request("POST", "/apis/no.such/v1/things", MAP)).status == 404
    assert talk(request("POST", "/version")).status == 405


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
def test_everybody_may_ask_how_it_is(path):
    assert talk(get(path, token="")).status == 200


def test_warnings_become_headers():
    answer = talk(request("POST", CM, {**MAP, "extra": 1}))
    assert ("warning", '299 - "unknown field \\"extra\\""') in answer.headers
    deprecated = talk(get("/api/v1/endpoints"))
    text = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert ("warning", f'299 - "{text}"') in deprecated.headers


def test_yaml_is_read_too():
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {a: b}\n"
    assert body(talk(request("POST", CM, text, content_type="application/yaml")))["data"] == {"a": "b"}


def test_tables_and_partial_objects():
    table = body(talk(request("POST", CM, MAP), get(CM, accept=TABLE)))
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"] == ["a", 1, "0s"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    partial = body(talk(request("POST", CM, MAP), get(CM, accept=accept)))
    assert partial["kind"] == "PartialObjectMetadataList"
    assert "data" not in partial["items"][0]


def test_watch_streams_lines():
    async def read(stream):
        line = await anext(aiter(stream.chunks))
        await stream.chunks.aclose()
        return line

    async def main():
        chance = random.Random(1)
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), chance)
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services, chance)
        await registry.create("namespaces", {"metadata": {"name": "default"}})
        verbs = Verbs(registry, Agents(lambda node: Path(node)))
        guards = Authenticator(TOKENS), Authorizer(registry)
        parts = Parts(verbs, *guards, Discovery(SCHEME, ""), Documents(SCHEME), {}, Metrics(verbs.registry))
        api = Api(parts)
        plain = await api(get("/api/v1/namespaces?watch=true&resourceVersion=0"))
        rows = await api(get("/api/v1/namespaces?watch=1", accept=TABLE))
        return await read(plain), await read(rows)

    plain, rows = asyncio.run(main())
    event = orjson.loads(plain)
    assert plain.endswith(b"}\n")
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "default")
    assert orjson.loads(rows)["object"]["kind"] == "Table"


def test_large_answers_are_gzipped_when_asked():
    big = {**MAP, "data": {"k": "v" * 200_000}}
    answer = talk(request("POST", CM, big), get(CM, accept_encoding="gzip"))
    assert ("content-encoding", "gzip") in answer.headers
    assert orjson.loads(gzip.decompress(answer.body))["items"][0]["data"] == big["data"]
    assert talk(request("POST", CM, big), get(CM)).body.startswith(b"{")


def test_discovery_in_both_forms():
    listed = body(talk(get("/api/v1")))
    pods = next(r for r in listed["resources"] if r["name"] == "pods")
    assert (pods["kind"], pods["namespaced"], pods["shortNames"]) == ("Pod", True, ["po"])
    assert {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]} in listed[
        "resources"
    ]
    assert body(talk(get("/apis")))["groups"][0]["name"] == "apiregistration.k8s.io"
    assert body(talk(get("/apis/apps/v1")))["groupVersion"] == "apps/v1"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    aggregated = talk(get("/apis", accept=accept))
    assert body(aggregated)["apiVersion"] == "apidiscovery.k8s.io/v2"
    etag = dict(aggregated.headers)["etag"]
    assert talk(get("/apis", accept=accept, if_none_match=etag)).status == 304


def test_every_subresource_of_the_scheme_is_served():
    async def main():
        services = Services(IPv4Network("10.96.0.0/16"), (30000, 32767), random.Random(1))
        registry = Registry(SCHEME, MemoryStore(), FakeClock(), services)
        return Verbs(registry, Agents(lambda node: Path(node)))

    served = {name for name, _ in asyncio.run(main()).subresources}
    assert {name for r in SCHEME.resources for name in r.subresources} <= served


def test_openapi_documents():
    index = body(talk(get("/openapi/v3")))
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    answer = talk(get(url))
    assert ("cache-control", "public, immutable") in answer.headers
    assert "io.k8s.api.apps.v1.Deployment" in body(answer)["components"]["schemas"]
    assert body(talk(get("/openapi/v2")))["swagger"] == "2.0"


def test_scale():
    deployment = {
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }
    home = "/apis/apps/v1/namespaces/default/deployments"
    patch = request("PATCH", f"{home}/d/scale", {"spec": {"replicas": 4}}, content_type="application/merge-patch+json")
    scaled = body(talk(request("POST", home, deployment), patch, get(f"{home}/d/scale")))
    assert (scaled["kind"], scaled["spec"]["replicas"]) == ("Scale", 4)
    assert body(talk(request("POST", home, deployment), patch, get(f"{home}/d")))["spec"]["replicas"] == 4


POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
PODS = "/api/v1/namespaces/default/pods"


def test_binding_happens_once():
    bind = request("POST", f"{PODS}/p/binding", {"target": {"kind": "Node", "name": "n1"}})
    bound = body(talk(request("POST", PODS, POD), bind, get(f"{PODS}/p")))
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    again = talk(request("POST", PODS, POD), bind, bind)
    assert again.status == 409
    assert 'pod p is already assigned to node "n1"' in body(again)["message"]


def test_eviction_deletes():
    evict = request("POST", f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
    assert talk(request("POST", PODS, POD), evict).status == 201
    assert talk(request("POST", PODS, POD), evict, get(f"{PODS}/p")).status == 404


def test_reviews_about_oneself():
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    spec = {"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}}
    assert body(talk(request("POST", path, spec)))["status"]["allowed"] is True
    assert body(talk(request("POST", path, spec, token="bob")))["status"]["allowed"] is False
    assert talk(request("POST", path, spec, token="")).status == 403


MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request("PATCH", f"{CM}/a", {"metadata": None}, content_type=MERGE), 200),
        (request("PATCH", f"{CM}/a", {"kind": "Pod"}, content_type=MERGE), 400),
        (request("PATCH", f"{CM}/a", {"metadata": {"name": "b"}}, content_type=MERGE), 400),
        (request("PATCH", f"{CM}/a", {"metadata": {"namespace": "b"}}, content_type=MERGE), 400),
        (request("PATCH", f"{CM}/a", {"metadata": "x"}, content_type=MERGE), 422),
        (request("DELETE", f"{CM}/a", {"preconditions": 3}), 400),
        (request("DELETE", f"{CM}/a", {"gracePeriodSeconds": "x"}), 400),
        (request("DELETE", f"{CM}/a", {"propagationPolicy": "X"}), 422),
        (request("POST", f"{PODS}/p/binding", {"target": 3}), 400),
        (request("POST", f"{PODS}/p/binding", {"target": {}}), 422),
        (request("POST", f"{PODS}/p/eviction", {"deleteOptions": 4}), 400),
        (request("PUT", f"{CM}/a", {"metadata": {"name": "b"}}), 400),
    ],
)
def test_odd_bodies_are_the_clients_fault(asked, code):
    assert talk(request("POST", CM, MAP), request("POST", PODS, POD), asked).status == code
