"""What a pod needs to speak to the API server: its token, the CA and its namespace, as a volume in every container.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ (ServiceAccount admission)
"""

from __future__ import annotations

from hashlib import sha256

from sampan.api.meta import Obj

PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_PREFIX = "kube-api-access-"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SECONDS = 3607  # what tells these tokens from those somebody asked for


def automount(pod: Obj) -> None:
    """Add the volume, and mount it in each container that has nothing there."""
    spec = pod["spec"]
    every = [c for kind in ("initContainers", "containers") for c in spec.get(kind) or ()]
    bare = [c for c in every if not any(m.get("mountPath") == PATH for m in c.get("volumeMounts") or ())]
    if not bare:
        return
    volumes = spec.get("volumes") or []
    name = next((v["name"] for v in volumes if v["name"].startswith(_PREFIX)), "")
    if not name:
        name = _PREFIX + _suffix(pod["metadata"])
        spec["volumes"] = [*volumes, _volume(name)]
    for container in bare:
        mount = {"name": name, "readOnly": True, "mountPath": PATH}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _suffix(metadata: Obj) -> str:
    """Five letters that follow from the uid, so that the same pod always gets the same ones."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in sha256(metadata["uid"].encode()).digest()[:5])


def _volume(name: str) -> Obj:
    own = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": _SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [own]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
