"""Validation of security contexts of pods and containers.

Source: k8s.io/kubernetes/pkg/apis/core/validation (1.32).
"""

from __future__ import annotations

import re

from sampan.api import fields, validation
from sampan.api.kinds import paths
from sampan.api.meta import Obj
from sampan.api.status import FieldError

_MAX_ID = 2**31 - 1
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_is_sysctl = re.compile(_SYSCTL).fullmatch
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
# field: its values
_POD_ENUMS = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}


def validate_pod_context(context: Obj, spec: Obj, path: str) -> list[FieldError]:
    """spec.securityContext of a pod or a template."""
    found = _ids(context, ("fsGroup", "runAsUser", "runAsGroup"), path)
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        found += _id(group, f"{path}.supplementalGroups[{i}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(fields.invalid(f"{path}.shareProcessNamespace", True, text))
    found += _sysctls(context.get("sysctls") or [], spec, f"{path}.sysctls")
    for key, values in _POD_ENUMS.items():
        if (value := context.get(key)) is not None and value not in values:
            found.append(fields.not_supported(f"{path}.{key}", value, values))
    return found + _profiles(context, path)


def validate_container_context(context: Obj, path: str) -> list[FieldError]:
    found = _ids(context, ("runAsUser", "runAsGroup"), path)
    if (mount := context.get("procMount")) is not None and mount not in ("Default", "Unmasked"):
        found.append(fields.not_supported(f"{path}.procMount", mount, ("Default", "Unmasked")))
    found += _profiles(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        shown = fields.Raw("core.SecurityContext{...}")
        prefix = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            found.append(fields.invalid(path, shown, f"{prefix} `privileged` to true"))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            found.append(fields.invalid(path, shown, f"{prefix} `capabilities.Add` CAP_SYS_ADMIN"))
    return found


def _id(value: int, path: str) -> list[FieldError]:
    return [] if 0 <= value <= _MAX_ID else [fields.invalid(path, value, validation.range_text(0, _MAX_ID))]


def _ids(context: Obj, keys: tuple[str, ...], path: str) -> list[FieldError]:
    return [e for key in keys if context.get(key) is not None for e in _id(context[key], f"{path}.{key}")]


def _sysctls(sysctls: list[Obj], spec: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for i, sysctl in enumerate(sysctls):
        at, name = f"{path}[{i}].name", sysctl.get("name", "")
        if not name:
            found.append(fields.required(at))
        elif len(name) > 253 or not _is_sysctl(name):
            text = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            found.append(fields.invalid(at, name, text))
        elif name in seen:
            found.append(fields.duplicate(at, name))
        if spec.get("hostNetwork") and name.replace("/", ".").startswith("net."):
            found.append(fields.invalid(at, name, "may not be specified when 'hostNetwork' is true"))
        seen.add(name)
    return found


def _profiles(context: Obj, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for key, called in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        if (profile := context.get(key)) is not None:
            found += _profile(profile, key, called, f"{path}.{key}")
    return found


def _profile(profile: Obj, key: str, called: str, path: str) -> list[FieldError]:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        return [fields.required(f"{path}.type", f"type is required when {key} is set")]
    if kind not in _PROFILES:
        return [fields.not_supported(f"{path}.type", kind, _PROFILES)]
    at = f"{path}.localhostProfile"
    if kind != "Localhost":
        text = f"can only be set when {called} type is Localhost"
        return [] if local is None else [fields.invalid(at, local, text)]
    if not local:
        return [fields.required(at, f"must be set when {called} type is Localhost")]
    return paths.descending(local, at) if called == "seccomp" else []
