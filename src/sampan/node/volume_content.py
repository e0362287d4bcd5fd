"""What is in the volumes made of API objects: pure.

Source: https://kubernetes.io/docs/concepts/storage/volumes/ , .../projected-volumes/
"""

from __future__ import annotations

from sampan.api.meta import Obj
from sampan.node.atomicdir import File
from sampan.node.env import Context, Ref, TokenRef, data
from sampan.node.fields import ConfigError, field_value, resource_value

_KINDS = {"configMap": "configmaps", "secret": "secrets"}
CONTENT_TYPES = ("configMap", "secret", "downwardAPI", "projected")


def volume_references(pod: Obj) -> set[Ref]:
    """The ConfigMaps and Secrets that the pod's volumes show."""
    return {
        _ref(kind, source[kind])
        for volume in pod["spec"].get("volumes") or ()
        for source in _sources(volume)
        for kind in _KINDS
        if kind in source
    }


def token_references(pod: Obj) -> set[TokenRef]:
    """The tokens of its service account that the pod's volumes show."""
    return {
        _token_ref(source["serviceAccountToken"])
        for volume in pod["spec"].get("volumes") or ()
        for source in _sources(volume)
        if "serviceAccountToken" in source
    }


def volume_files(volume: Obj, context: Context) -> dict[str, File]:
    """Relative path → file of a configMap, secret, downwardAPI or projected volume. Raises ConfigError."""
    top = next(volume[kind] for kind in CONTENT_TYPES if kind in volume)
    mode = top.get("defaultMode")
    found: dict[str, File] = {}
    for source in _sources(volume):
        found |= _source_files(source, 0o644 if mode is None else int(mode), context)
    return found


def _sources(volume: Obj) -> list[Obj]:
    if "projected" in volume:
        return list(volume["projected"].get("sources") or ())
    return [{kind: volume[kind]} for kind in ("configMap", "secret", "downwardAPI") if kind in volume]


def _token_ref(source: Obj) -> TokenRef:
    return TokenRef(source.get("audience") or "", int(source.get("expirationSeconds") or 3600))


def _ref(kind: str, source: Obj) -> Ref:
    return Ref(_KINDS[kind], source.get("name") or source.get("secretName") or "")


def _source_files(source: Obj, mode: int, context: Context) -> dict[str, File]:
    for kind in _KINDS:
        if kind in source:
            return _object_files(kind, source[kind], mode, context)
    if "serviceAccountToken" in source:
        wanted = source["serviceAccountToken"]
        token = context.tokens.get(_token_ref(wanted), "not asked for")
        if isinstance(token, str):
            raise ConfigError(f"failed to fetch token: {token}")
        return {_inside(wanted["path"]): File(token, mode)}
    if "downwardAPI" in source:
        return dict(_downward(item, mode, context) for item in source["downwardAPI"].get("items") or ())
    raise ConfigError(f"projected source {next(iter(source), '')} is not supported yet")


def _object_files(kind: str, source: Obj, mode: int, context: Context) -> dict[str, File]:
    ref, optional = _ref(kind, source), bool(source.get("optional"))
    obj = context.objects.get(ref)
    if obj is None:
        if optional:
            return {}
        raise ConfigError(f'{kind.lower()} "{ref.name}" not found')
    content = data(obj)
    if not source.get("items"):
        return {key: File(value, mode) for key, value in content.items()}
    found = {}
    for item in source["items"]:
        if item["key"] in content:
            found[_inside(item["path"])] = File(content[item["key"]], int(item.get("mode") or mode))
        elif not optional:
            what = (
                "configmap references non-existent config key"
                if kind == "configMap"
                else "references non-existent secret key"
            )
            raise ConfigError(f"{what}: {item['key']}")
    return found


def _downward(item: Obj, mode: int, context: Context) -> tuple[str, File]:
    if "fieldRef" in item:
        text = field_value(context.pod, item["fieldRef"]["fieldPath"], context.pod_ip, context.host_ip)
    else:
        ref = item["resourceFieldRef"]
        spec = context.pod["spec"]
        every = (*(spec.get("initContainers") or ()), *spec["containers"])
        container = next((c for c in every if c["name"] == ref.get("containerName")), None)
        if container is None:
            raise ConfigError(f"container {ref.get('containerName')} not found")
        text = resource_value(container, ref, context.allocatable)
    return _inside(item["path"]), File(text.encode(), int(item.get("mode") or mode))


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ConfigError(f"invalid path: {path}: must be relative and not contain '..'")
    return path
