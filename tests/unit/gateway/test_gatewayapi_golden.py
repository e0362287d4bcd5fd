"""Gateway API as golden files: tests/golden/gatewayapi."""

import gatewaycases
import golden
import pytest

from sampan.gateway.gatewayapi import translate
from sampan.gateway.types import Result
from sampan.ir import Forward

CASES = golden.cases("gatewayapi")
# Upstream's types and reasons, and no others.
REASONS = {
    "Accepted": {
        *("Accepted", "ListenersNotValid", "UnsupportedAddress", "InvalidParameters", "UnsupportedProtocol"),
        *("NoValidCACertificate", "HostnameConflict", "ProtocolConflict", "NotAllowed", "ParentNotAccepted"),
        *("NotAllowedByListeners", "NoMatchingListenerHostname", "NoMatchingParent", "UnsupportedValue"),
        *("Conflicted", "Invalid"),
    },
    "Programmed": {
        *("Programmed", "Invalid", "Pending", "AddressNotAssigned", "AddressNotUsable", "ListenersNotValid"),
        *("HostnameConflict", "ProtocolConflict", "NotAllowed", "ParentNotProgrammed"),
    },
    "ResolvedRefs": {
        *("ResolvedRefs", "InvalidCertificateRef", "InvalidRouteKinds", "RefNotPermitted", "InvalidCACertificateRef"),
        *("InvalidCACertificateKind", "ListenersNotResolved", "InvalidClientCertificateRef", "InvalidKind"),
        *("BackendNotFound", "UnsupportedProtocol"),
    },
    "Conflicted": {"NoConflicts", "HostnameConflict", "ProtocolConflict"},
    "OverlappingTLSConfig": {"OverlappingHostnames"},
    "InsecureFrontendValidationMode": {"ConfigurationChanged"},
    "PartiallyInvalid": {"UnsupportedValue"},
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden_gatewayapi(case: golden.Case) -> None:
    result = translate(gatewaycases.resources(case))
    references_resolve(result)
    names_are_unique(result)
    for status in result.statuses.values():
        conditions_are_upstreams(status)
    case.check(gatewaycases.shown(result))


def references_resolve(result: Result) -> None:
    clusters = result.clusters.keys() | {""}  # "" is nobody
    for name, listener in result.listeners.items():
        assert listener.name == name
        assert listener.chains
        for chain in listener.chains:
            table = getattr(chain.handler, "table", None)
            assert table is None or table in result.tables
            assert {t.cluster for t in getattr(chain.handler, "targets", ())} <= clusters
            if chain.tls:
                assert chain.tls.certificates
                assert {*chain.tls.certificates, *filter(None, [chain.tls.client_ca])} <= result.secrets.keys()
    assert {getattr(c.handler, "table", "") for one in result.listeners.values() for c in one.chains} >= set(
        result.tables
    )
    for cluster in result.clusters.values():
        assert cluster.endpoints
        if cluster.tls:
            assert {cluster.tls.ca, cluster.tls.client_certificate} - {"", "system"} <= result.secrets.keys()
    for table in result.tables.values():
        for route in (route for host in table.hosts for route in host.routes):
            named = set()
            if isinstance(route.action, Forward):
                assert any(target.cluster and target.weight for target in route.action.targets)
                named |= {t.cluster for t in route.action.targets} | {m.cluster for m in route.action.mirrors}
            named |= {route.policies.external_auth.cluster} if route.policies.external_auth else set()
            assert named <= clusters


def names_are_unique(result: Result) -> None:
    ports = [(listener.protocol, listener.port) for listener in result.listeners.values()]
    assert len(ports) == len(set(ports))
    for table in result.tables.values():
        assert len({host.name for host in table.hosts}) == len(table.hosts)
        domains = [domain for host in table.hosts for domain in host.domains]
        assert len(domains) == len(set(domains))
        for host in table.hosts:
            assert len({route.name for route in host.routes}) == len(host.routes)
    for listener in result.listeners.values():
        names = [name for chain in listener.chains for name in chain.names or ("",)]
        assert len(names) == len(set(names))
        assert len({chain.name for chain in listener.chains}) == len(listener.chains)


def conditions_are_upstreams(value: object) -> None:
    if isinstance(value, dict):
        if {"type", "status", "reason"} <= value.keys():
            assert value["reason"] in REASONS[value["type"]], value
            assert value["observedGeneration"] >= 1
            assert value["message"]
        for part in value.values():
            conditions_are_upstreams(part)
    elif isinstance(value, list):
        for part in value:
            conditions_are_upstreams(part)
