"""What of Gateway API this controller does: published in the status of its classes, shown in docs/gateway-api.md.

The names are upstream's (pkg/features of v1.6). A feature stands here when a test of ours shows it.
"""

from __future__ import annotations

_OF_KIND = {
    "Gateway": (
        *("Port8080", "StaticAddresses", "AddressEmpty", "HTTPListenerIsolation", "InfrastructurePropagation"),
        *("BackendClientCertificate", "FrontendClientCertificateValidation"),
        "FrontendClientCertificateValidationInsecureFallback",
        "HTTPSListenerDetectMisdirectedRequests",
    ),
    "ListenerSet": (),
    "ReferenceGrant": (),
    "BackendTLSPolicy": ("SANValidation",),
    "HTTPRoute": (
        *("MethodMatching", "QueryParamMatching", "DestinationPortMatching", "ParentRefPort", "NamedRouteRule"),
        *("SchemeRedirect", "PathRedirect", "PortRedirect"),
        *("303RedirectStatusCode", "307RedirectStatusCode", "308RedirectStatusCode"),
        *("HostRewrite", "PathRewrite", "ResponseHeaderModification", "BackendRequestHeaderModification"),
        *("RequestMirror", "RequestMultipleMirrors", "RequestPercentageMirror", "CORS"),
        *("RequestTimeout", "BackendTimeout", "Retry", "RetryBackendTimeout", "RetryConnectionError"),
        *("BackendProtocolH2C", "BackendProtocolWebSocket"),
    ),
    "GRPCRoute": ("NamedRouteRule",),
    "TLSRoute": ("ModeTerminate", "ModeMixed"),
    "TCPRoute": (),
    "UDPRoute": (),
}
SUPPORTED = tuple(sorted(f"{kind}{feature}" for kind, features in _OF_KIND.items() for feature in ("", *features)))
