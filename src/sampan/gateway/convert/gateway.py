"""The Gateway that stands where the Ingress controller stood: one HTTP listener, an HTTPS listener a host."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sampan.api.meta import Key, Obj
from sampan.gateway.convert.notes import Notes
from sampan.gateway.convert.routes import Source
from sampan.gateway.ingress.annotations import PREFIX


@dataclass(frozen=True, slots=True)
class Host:
    """`names`: with its aliases. `tls`: the Secret of its certificate, "" without. `redirects`: HTTP goes to HTTPS."""

    name: str
    names: tuple[str, ...]
    sources: list[Source]
    tls: str
    redirects: bool
    www: bool

    @classmethod
    def of(cls, name: str, sources: list[Source], notes: Notes) -> Host:
        own = [source for source in sources if not source.values.get("canary")] or sources
        aliases = [alias for source in own for alias in source.values.get("server-alias", ())]
        tls, listed = "", False
        for source in own:
            for entry in source.ingress["spec"].get("tls") or ():
                if name and name in [host.lower() for host in entry.get("hosts") or ()]:
                    listed, tls = True, tls or entry.get("secretName") or ""
            if source.values.get("ssl-passthrough"):
                text = f"{PREFIX}ssl-passthrough: write a TLSRoute and a TLS listener with mode Passthrough"
                notes.say(source.ingress, text, lost=True)
            if source.values.get("backend-protocol", "HTTP") != "HTTP":
                _protocol(source, notes)
        if listed and not tls:
            notes.say(own[0].ingress, f"host {name}: an HTTPS listener needs a Secret, spec.tls names none", lost=True)
        forced = any(source.values.get("force-ssl-redirect") for source in own)
        if forced and not tls:
            text = f"{PREFIX}force-ssl-redirect: without a Secret in spec.tls there is no HTTPS listener to redirect to"
            notes.say(own[0].ingress, text, lost=True)
        redirects = forced or all(source.values.get("ssl-redirect", True) for source in own)
        www = bool(name) and any(source.values.get("from-to-www-redirect") for source in own)
        names = (name, *dict.fromkeys(aliases)) if name else ()
        return cls(name, names, sources, tls, bool(tls) and redirects, www)


def _protocol(source: Source, notes: Notes) -> None:
    advice = {
        "GRPC": "write a GRPCRoute, or give the port of the Service appProtocol: kubernetes.io/h2c",
        "GRPCS": "write a GRPCRoute and a BackendTLSPolicy",
        "HTTPS": "write a BackendTLSPolicy for the Service",
    }
    value = source.values["backend-protocol"]
    hint = advice.get(value, "Gateway API has no equal")
    notes.say(source.ingress, f"{PREFIX}backend-protocol {value}: {hint}", lost=True)


def gateway(api: str, key: Key, gateway_class: str, hosts: list[Host]) -> Obj:
    listeners: list[Obj] = [{"name": "http", "protocol": "HTTP", "port": 80}]
    for host in hosts:
        if host.tls:
            certificate = {"mode": "Terminate", "certificateRefs": [{"name": host.tls}]}
            named = {"name": https(host.name), "hostname": host.name, "protocol": "HTTPS", "port": 443}
            listeners.append(named | {"tls": certificate})
    return {
        "apiVersion": api,
        "kind": "Gateway",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"gatewayClassName": gateway_class, "listeners": listeners},
    }


def parents(key: Key, host: Host, listeners: tuple[str, ...]) -> list[Obj]:
    """References to the named listeners."""
    return [
        {"name": key.name, "sectionName": https(host.name) if listener == "https" else listener}
        for listener in listeners
    ]


def https(host: str) -> str:
    return f"https-{slug(host)}"


def slug(host: str) -> str:
    """For names of objects and listeners."""
    return re.sub(r"[^a-z0-9]+", "-", host.replace("*", "all")).strip("-")
