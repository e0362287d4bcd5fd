"""Ingresses as golden files: tests/golden/ingress."""

import golden
import ingresscases
import pytest

from sampan.gateway.ingress import translate
from sampan.gateway.types import Result
from sampan.ir import Forward

CASES = golden.cases("ingress")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden_ingress(case: golden.Case) -> None:
    result = translate(ingresscases.resources(case))
    _references_resolve(result)
    _names_are_unique(result)
    case.check(ingresscases.shown(result))


def _references_resolve(result: Result) -> None:
    for listener in result.listeners.values():
        for chain in listener.chains:
            table = getattr(chain.handler, "table", None)
            assert table is None or table in result.tables
            assert {t.cluster for t in getattr(chain.handler, "targets", ())} <= result.clusters.keys()
            if chain.tls:
                assert chain.tls.certificates
                assert set(chain.tls.certificates) <= result.secrets.keys()
                assert not chain.tls.client_ca or chain.tls.client_ca in result.secrets
    for cluster in result.clusters.values():
        assert bool(cluster.endpoints) != bool(cluster.dns)
        if cluster.tls:
            used = {cluster.tls.ca, cluster.tls.client_certificate} - {"", "system"}
            assert used <= result.secrets.keys()
    for table in result.tables.values():
        for host in table.hosts:
            for route in host.routes:
                named = set()
                if isinstance(route.action, Forward):
                    assert route.action.targets
                    named |= {t.cluster for t in route.action.targets} | {m.cluster for m in route.action.mirrors}
                for policy in (route.policies.external_auth, route.policies.errors):
                    named |= {policy.cluster} if policy else set()
                assert named <= result.clusters.keys()
                assert route.origin is not None, route.name


def _names_are_unique(result: Result) -> None:
    for table in result.tables.values():
        domains = [domain for host in table.hosts for domain in host.domains]
        assert len(domains) == len(set(domains))
        names = [host.name for host in table.hosts]
        assert len(names) == len(set(names))
        for host in table.hosts:
            routes = [route.name for route in host.routes]
            assert len(routes) == len(set(routes)), routes
    for listener in result.listeners.values():
        names = [name for chain in listener.chains for name in chain.names]
        assert len(names) == len(set(names))
