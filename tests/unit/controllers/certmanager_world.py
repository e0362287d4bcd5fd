"""A World for the controllers of cert-manager's kinds, and the objects they work on."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from controller_world import World

from sampan.api import meta
from sampan.api.meta import Obj
from sampan.ca import issuing, keys
from sampan.client.env import Controller
from sampan.controllers import certificate, certificate_shim, certificaterequest, issuer
from sampan.controllers import certmanager as cm

C, R, S = cm.CERTIFICATES, cm.REQUESTS, "secrets"


def watching(row: Controller) -> Controller:
    """As if the custom resources were followed already."""
    kinds = (cm.CERTIFICATES, cm.REQUESTS, cm.ISSUERS, cm.CLUSTER_ISSUERS, certificate_shim.GATEWAYS)
    assert row.custom is not None
    return replace(row, watches={**row.watches, **{kind: row.custom(kind) for kind in kinds}})


class CertWorld(World):
    """Its local authority is made once and kept in `self.root`."""

    def __init__(self) -> None:
        rows = (
            issuer.controller(),
            certificaterequest.controller(lambda: self.local),
            certificate_shim.ingress_controller(),
            certificate_shim.gateway_controller(),
            certificate.controller(),
        )
        super().__init__(*map(watching, rows))
        self.local = authority(self)

    async def issuer(self, kind: str = "Issuer", name: str = "own", **spec: Any) -> Obj:
        metadata = {"name": name} | ({"namespace": "default"} if kind == "Issuer" else {})
        body = {"apiVersion": cm.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
        return await self.add(f"{kind.lower()}s.{cm.GROUP}", body)

    async def certificate(self, name: str = "web", issuer: str = "own", kind: str = "Issuer", **spec: Any) -> Obj:
        spec = {"secretName": name, "issuerRef": {"name": issuer, "kind": kind}, "dnsNames": ["a.example"]} | spec
        spec.setdefault("privateKey", {"algorithm": "ECDSA"})
        metadata = {"name": name, "namespace": "default"}
        body = {"apiVersion": cm.API_VERSION, "kind": "Certificate", "metadata": metadata, "spec": spec}
        return await self.add(C, body)

    async def change(self, name: str = "web", **spec: Any) -> None:
        await self.client.patch(C, name, "default", {"spec": spec})
        await self.settle()

    def secret(self, name: str = "web", namespace: str = "default") -> Obj | None:
        return self.client.find(S, name, namespace)

    def held(self, name: str = "web") -> issuing.Facts:
        """What the certificate in a Secret says."""
        found = self.secret(name)
        assert found is not None
        assert issuing.read(cm.data(found, "tls.crt")).public == keys.public(keys.load(cm.data(found, "tls.key")))
        return issuing.read(cm.data(found, "tls.crt"))

    def status(self, name: str = "web") -> Obj:  # type: ignore[override]
        found = self.client.find(C, name, "default")
        assert found is not None
        return found.get("status") or {}

    def condition(self, name: str = "web", kind: str = "Ready", resource: str = C) -> tuple[str, str, str] | None:
        found = self.client.find(resource, name, "" if resource == cm.CLUSTER_ISSUERS else "default")
        assert found is not None
        one = meta.condition(found, kind)
        return (one["status"], one["reason"], one["message"]) if one else None

    def told(self, name: str = "web") -> list[tuple[str, str]]:
        return [(reason, message) for about, _, reason, message in self.events.seen if about == name]


def authority(world: World, name: str = "root") -> tuple[bytes, bytes]:
    """(certificate, key)."""
    from datetime import timedelta

    key = keys.generate("ECDSA")
    terms = issuing.Terms(world.clock.now(), timedelta(days=3650), authority=True)
    return issuing.self_sign(issuing.request(issuing.Wanted(name), key), key, terms).chain, keys.encode(key)


def tls_secret(name: str, certificate: bytes, key: bytes, namespace: str = "default") -> Obj:
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
