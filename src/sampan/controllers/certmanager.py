"""What the controllers of cert-manager's kinds share: names, where issuers are, conditions, data of Secrets.

Source: https://cert-manager.io/docs/reference/api-docs/, github.com/cert-manager/cert-manager/pkg/api/util
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from sampan.api import meta
from sampan.api.meta import Key, Obj
from sampan.api.status import ApiError
from sampan.client.env import After, Cache, Env, Reconcile
from sampan.controllers.keys import no_key

GROUP = "cert-manager.io"
API_VERSION = f"{GROUP}/v1"
CERTIFICATES, REQUESTS = f"certificates.{GROUP}", f"certificaterequests.{GROUP}"
ISSUERS, CLUSTER_ISSUERS = f"issuers.{GROUP}", f"clusterissuers.{GROUP}"
SECRETS = "secrets"
# Where the Secrets of ClusterIssuers are.
CLUSTER_NAMESPACE = "cert-manager"
# What a CA issuer names in place of a Secret to sign with sampan's own authority: no Secret can be called so.
LOCAL_CA = "sampan.io/local-ca"
_LOOK_AGAIN = 60.0
CERT, KEY, CA = "tls.crt", "tls.key", "ca.crt"

Watch = Callable[[Obj, Mapping[str, Cache]], Iterable[Key]]
# The local authority's certificate and key, PEM, made when there is none. May wait for the disk. Raises OSError.
Local = Callable[[], tuple[bytes, bytes]]


def ours(reconcile: Reconcile) -> Reconcile:
    """Nothing is done while cert-manager itself runs in this cluster: two of a trade would undo each other's work."""

    async def step(key: Key, env: Env) -> After | None:
        return After(_LOOK_AGAIN) if await _elsewhere(env) else await reconcile(key, env)

    return step


async def _elsewhere(env: Env) -> bool:
    """Does somebody hold the lease of cert-manager's controllers?"""
    lease = await find(env, "leases.coordination.k8s.io", "cert-manager-controller", "kube-system")
    spec = (lease or {}).get("spec") or {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return False
    age = (env.clock.now() - meta.parse_time(spec["renewTime"])).total_seconds()
    return age < (spec.get("leaseDurationSeconds") or 60)


def custom(watches: Mapping[str, Watch]) -> Callable[[str], Watch]:
    """For `Controller.custom`: of all custom resources only these matter, while they are there."""
    return lambda resource: watches.get(resource, no_key)


async def crypto() -> None:
    """Load what the first certificate needs, away from the loop: it takes a tenth of a second."""
    await asyncio.to_thread(import_module, "sampan.ca.issuing")


async def find(env: Env, resource: str, name: str, namespace: str = "") -> Obj | None:
    """Asked of the server, which is this process: no cache that lags. None: no such object, or no such resource."""
    try:
        return await env.client.get(resource, name, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        return None


def cached(caches: Mapping[str, Cache], resource: str, namespace: str = "") -> Iterable[Obj]:
    """What a cache has of a custom resource that may not be there."""
    cache = caches.get(resource)
    return cache.list(namespace) if cache is not None else ()


def data(secret: Obj, key: str) -> bytes:
    """A value of a Secret, b"" when it is not there."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "")
    except binascii.Error:
        return b""


def issuer_kind(ref: Obj) -> str:
    return ref.get("kind") or "Issuer"


def issuer_group(ref: Obj) -> str:
    return ref.get("group") or GROUP


def issuer_place(ref: Obj, namespace: str) -> tuple[str, Key]:
    """Where a reference to one of our issuers leads. Raises ValueError."""
    match issuer_kind(ref):
        case "Issuer":
            return ISSUERS, Key(namespace, ref["name"])
        case "ClusterIssuer":
            return CLUSTER_ISSUERS, Key("", ref["name"])
        case other:
            wanted = 'Must be empty, "Issuer" or "ClusterIssuer"'
            raise ValueError(f'invalid value "{other}" for issuerRef.kind. {wanted}')


def resource_namespace(issuer: Obj) -> str:
    """Where an issuer's Secrets are."""
    return meta.namespace(issuer) or CLUSTER_NAMESPACE


def with_condition(
    conditions: Iterable[Obj], kind: str, status: str, reason: str, message: str, now: str, generation: int = 0
) -> list[Obj]:
    """The conditions with this one in its place, at the end when it is new."""
    kept = list(conditions)
    old = next((c for c in kept if c["type"] == kind), None)
    since = old["lastTransitionTime"] if old and old["status"] == status else now
    new: Obj = {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    if generation:
        new["observedGeneration"] = generation
    if old is None:
        return [*kept, new]
    return [new if c is old else c for c in kept]
