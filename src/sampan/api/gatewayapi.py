"""What several rooms know of our controller of Gateway API: its name, and what it can do.

The features are published in the status of its classes and shown in docs/gateway-api.md. Their names are upstream's
(pkg/features of v1.6); one stands here when a test of ours shows it.
"""

from __future__ import annotations

from typing import Final

CLASSES: Final = "gatewayclasses.gateway.networking.k8s.io"
CLASS: Final = "sampan"
CONTROLLER: Final = "sampan.io/gateway-controller"
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
FEATURES = tuple(sorted(f"{kind}{feature}" for kind, features in _OF_KIND.items() for feature in ("", *features)))
