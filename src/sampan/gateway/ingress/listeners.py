"""The two listeners of all Ingresses, and the chains of the one that speaks TLS."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.meta import Key
from sampan.gateway.ingress.model import TABLE, Chain
from sampan.gateway.types import Resources
from sampan.ir import Http, Listener, ListenerTls, SniChain

_OWN = Key("", "")
_HTTP, _HTTPS = 80, 443

Chained = Iterable[tuple[Chain, tuple[str, ...]]]  # with all names of the host


def listeners(resources: Resources, chained: Chained) -> dict[str, Listener]:
    made: dict[str, Listener] = {}
    if port := resources.ports.get((_OWN, _HTTP)):
        made["ingress-http"] = Listener("ingress-http", port, (SniChain("ingress-http", Http(TABLE)),))
    if (port := resources.ports.get((_OWN, _HTTPS))) and (chains := _chains(resources, chained)):
        made["ingress-https"] = Listener("ingress-https", port, chains)
    return made


def _chains(resources: Resources, chained: Chained) -> tuple[SniChain, ...]:
    """One for each certificate and demand for clients' certificates, and one for all other names."""
    default = resources.default_certificate
    made: list[SniChain] = []
    grouped: dict[tuple[str, ListenerTls | None], list[tuple[Chain, tuple[str, ...]]]] = {}
    for chain, names in chained:
        if chain.tcp is not None:
            made.append(SniChain(f"ingress-passthrough {chain.host}", chain.tcp, names, origin=chain.origin))
        else:
            grouped.setdefault((chain.certificate, chain.client_auth), []).append((chain, names))
    for (certificate, auth), group in grouped.items():
        shown = certificate or (default.name if default else "")
        if not shown:
            continue
        first = group[0][0]
        tls = ListenerTls(
            (shown,),
            client_ca=auth.client_ca if auth else "",
            client_required=auth.client_required if auth else True,
            client_insecure=auth.client_insecure if auth else False,
        )
        names = tuple(sorted(name for _, names in group for name in names))
        label = f"{shown} {auth.client_ca}" if auth else shown
        made.append(SniChain(label, Http(first.table), names, tls, origin=first.origin))
    if default is not None:
        made.append(SniChain("ingress-https", Http(TABLE), (), ListenerTls((default.name,))))
    return tuple(made)
