"""One cluster of two nodes for all end-to-end tests that do not break it; a namespace of its own for each test."""

import itertools

import pytest
from e2e import Cluster

COUNT = itertools.count()


@pytest.fixture(scope="session")
def shared():
    cluster = Cluster("e2e", nodes=2)
    try:
        cluster.register()
        cluster.up()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def cluster(shared):
    """The shared cluster with kubectl's default namespace set to a fresh one."""
    namespace = f"t{next(COUNT)}"
    shared.kubectl("create", "namespace", namespace)
    shared.kubectl("config", "set-context", "--current", f"--namespace={namespace}")
    shared.namespace = namespace
    yield shared
    shared.kubectl("config", "set-context", "--current", "--namespace=default")
    shared.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def own_cluster(request):
    """A cluster the test may break; `request.param` nodes, else one."""
    cluster = Cluster("own", nodes=getattr(request, "param", 1))
    try:
        cluster.register()
        cluster.up()
        yield cluster
    finally:
        cluster.remove()
