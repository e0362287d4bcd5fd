"""The features that are published: upstream's names, in the docs, each shown by some test."""

import re
from pathlib import Path

import golden

from sampan.api.gatewayapi import FEATURES

DOCS = Path(__file__).parents[3] / "docs/gateway-api.md"
TESTS = Path(__file__).parents[2]
# pkg/features of Gateway API 1.6.1, without those of meshes.
UPSTREAM = {
    *(
        "Gateway",
        "GatewayAddressEmpty",
        "GatewayBackendClientCertificate",
        "GatewayFrontendClientCertificateValidation",
    ),
    *("GatewayFrontendClientCertificateValidationInsecureFallback", "GatewayHTTPListenerIsolation"),
    *("GatewayHTTPSListenerDetectMisdirectedRequests", "GatewayInfrastructurePropagation", "GatewayPort8080"),
    *("GatewayStaticAddresses", "ListenerSet", "ReferenceGrant", "BackendTLSPolicy", "BackendTLSPolicySANValidation"),
    *("HTTPRoute", "HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode"),
    *("HTTPRoute308RedirectStatusCode", "HTTPRouteBackendProtocolH2C", "HTTPRouteBackendProtocolWebSocket"),
    *("HTTPRouteBackendRequestHeaderModification", "HTTPRouteBackendTimeout", "HTTPRouteCORS"),
    *("HTTPRouteDestinationPortMatching", "HTTPRouteHostRewrite", "HTTPRouteMethodMatching"),
    *("HTTPRouteNamedRouteRule", "HTTPRouteParentRefPort", "HTTPRoutePathRedirect", "HTTPRoutePathRewrite"),
    *("HTTPRoutePortRedirect", "HTTPRouteQueryParamMatching", "HTTPRouteRequestMirror"),
    *("HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror", "HTTPRouteRequestTimeout"),
    *("HTTPRouteResponseHeaderModification", "HTTPRouteRetry", "HTTPRouteRetryBackendTimeout"),
    *("HTTPRouteRetryConnectionError", "HTTPRouteSchemeRedirect", "GRPCRoute", "GRPCRouteNamedRouteRule"),
    *("TLSRoute", "TLSRouteModeTerminate", "TLSRouteModeMixed", "TCPRoute", "UDPRoute"),
}


def rows():
    table = DOCS.read_text().partition("<!-- features -->")[2].partition("<!-- end -->")[0]
    return [
        tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in table.strip().splitlines()[2:]
    ]


def test_all_that_upstream_has_is_supported_and_in_order():
    assert list(FEATURES) == sorted(UPSTREAM)
    assert len(FEATURES) <= 64


def test_the_docs_name_the_same():
    assert [name for name, *_ in rows()] == list(FEATURES)
    assert all(words for _, words, _ in rows())


def test_each_is_shown_by_a_test_that_is_there():
    cases = {str(case) for case in golden.cases("gatewayapi")}
    for name, _, shown in rows():
        for where in re.split(r", ", shown):
            assert where in cases or (TESTS / where).exists(), (name, where)
